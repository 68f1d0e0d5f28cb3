<?php
/**
 * The same on every machine and without a value of its own: the settings are data in /etc/wordpress/config.json.
 */

require_once '/usr/local/lib/wordpress/config.php';

try {
	stackyard_define_constants();
	$table_prefix = stackyard_config()['table_prefix'];
} catch ( Throwable $e ) {
	error_log( $e->getMessage() );
	http_response_code( 503 );
	exit( 1 );
}

defined( 'ABSPATH' ) || define( 'ABSPATH', __DIR__ . '/' );

require_once ABSPATH . 'wp-settings.php';
