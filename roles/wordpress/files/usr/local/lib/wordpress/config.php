<?php
/**
 * Reads the configuration of this machine: one file of data, so that no value is ever read as code.
 *
 * Loaded by wp-config.php, by the database drop-in, and by the scripts beside it, with and without WordPress.
 */

const STACKYARD_CONFIG_FILE = '/etc/wordpress/config.json';

/**
 * The configuration; read once per process.
 *
 * @return array<string, mixed>
 */
function stackyard_config(): array {
	static $config = null;
	if ( null === $config ) {
		$text = @file_get_contents( STACKYARD_CONFIG_FILE );
		if ( false === $text ) {
			throw new RuntimeException( STACKYARD_CONFIG_FILE . ' cannot be read: this machine is not configured yet.' );
		}
		$config = json_decode( $text, true, 16, JSON_THROW_ON_ERROR );
	}
	return $config;
}

/**
 * Define WordPress' constants. What is defined already stays, so that a script can set one apart.
 */
function stackyard_define_constants(): void {
	foreach ( stackyard_config()['constants'] as $name => $value ) {
		defined( $name ) || define( $name, $value );
	}
}

/**
 * Connect to the database: encrypted, and only to a server whose certificate the given authorities vouch for.
 *
 * WordPress' own connection cannot be given an authority, and PHP's setting for one would hold for every other
 * connection too, mail among them.
 *
 * @param mysqli $link    From mysqli_init().
 * @param int    $timeout Seconds to wait for the connection.
 * @param int    $read    Seconds to wait for an answer; 0 for PHP's own limit.
 * @return bool Whether it is connected; if not, the reason is in connect_error.
 */
function stackyard_connect( mysqli $link, int $timeout = 5, int $read = 0 ): bool {
	$database = stackyard_config()['database'];
	mysqli_report( MYSQLI_REPORT_OFF );
	$link->options( MYSQLI_OPT_CONNECT_TIMEOUT, $timeout );
	if ( $read > 0 ) {
		$link->options( MYSQLI_OPT_READ_TIMEOUT, $read );
	}
	$link->ssl_set( null, null, $database['ca'], null, null );
	return @$link->real_connect(
		$database['host'],
		$database['user'],
		$database['password'],
		$database['name'],
		(int) $database['port'],
		null,
		MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_VERIFY_SERVER_CERT
	);
}

/**
 * Take a lock of this site in the database. It is held by the connection: it ends with the process, however that ends.
 *
 * @param mysqli $link    A connection that stays open as long as the lock is wanted.
 * @param string $purpose What for.
 * @param int    $timeout Seconds to wait for it.
 */
function stackyard_lock( mysqli $link, string $purpose, int $timeout ): bool {
	$config = stackyard_config();
	// Names of locks are shared by all databases of a server and at most 64 characters long.
	$name   = 'stackyard:' . $purpose . ':' . substr( sha1( $config['database']['name'] . "\0" . $config['table_prefix'] ), 0, 20 );
	$answer = $link->query( "SELECT GET_LOCK('" . $link->real_escape_string( $name ) . "', " . $timeout . ')' );
	return $answer && '1' === (string) $answer->fetch_row()[0];
}

/**
 * Tell code that is run outside a web request which site it is for: the configured address, nothing guessed.
 */
function stackyard_pose_as_request( string $url ): void {
	$parts                      = parse_url( $url );
	$_SERVER['HTTP_HOST']       = $parts['host'] . ( isset( $parts['port'] ) ? ':' . $parts['port'] : '' );
	$_SERVER['SERVER_NAME']     = $parts['host'];
	$_SERVER['SERVER_PORT']     = (string) ( $parts['port'] ?? ( 'https' === $parts['scheme'] ? 443 : 80 ) );
	$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
	$_SERVER['REQUEST_METHOD']  = 'GET';
	$_SERVER['REQUEST_URI']     = ( $parts['path'] ?? '' ) ?: '/';
	$_SERVER['REMOTE_ADDR']     = '127.0.0.1';
	if ( 'https' === $parts['scheme'] ) {
		$_SERVER['HTTPS'] = 'on';
	}
}
