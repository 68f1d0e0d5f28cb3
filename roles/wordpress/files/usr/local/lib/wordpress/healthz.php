<?php
/**
 * Whether this machine can serve the site: its database answers and its uploads are there.
 *
 * Asked every second by the load balancer, so WordPress itself is not loaded, and every wait is short: an answer that
 * comes too late counts as none.
 */

require_once __DIR__ . '/config.php';

/** Whether the database answers and holds the site. */
function stackyard_database_answers(): bool {
	$link = mysqli_init();
	if ( ! stackyard_connect( $link, 2, 2 ) ) {
		error_log( 'healthz: the database does not answer: ' . $link->connect_error );
		return false;
	}
	$answer = $link->query( 'SELECT 1 FROM `' . stackyard_config()['table_prefix'] . 'options` LIMIT 1' );
	$link->close();
	return false !== $answer && 1 === $answer->num_rows;
}

/** Whether the shared folder is mounted: the mark lies on the file system, not in the empty folder below it. */
function stackyard_uploads_answer(): bool {
	return false !== @file_get_contents( stackyard_config()['uploads']['path'] . '/.stackyard-uploads' );
}

header( 'Content-Type: application/json' );
header( 'Cache-Control: no-store' );
try {
	$parts = array(
		'database' => stackyard_database_answers(),
		'uploads'  => stackyard_uploads_answer(),
	);
} catch ( Throwable $e ) {
	error_log( 'healthz: ' . $e->getMessage() );
	$parts = array( 'configuration' => false );
}
$healthy = ! in_array( false, $parts, true );
http_response_code( $healthy ? 200 : 503 );
echo json_encode( array( 'healthy' => $healthy ) + $parts ), "\n";
