<?php
/**
 * Runs WordPress' scheduled events, on one machine of the fleet at a time.
 *
 * Every machine has the timer; the lock in the database decides. It is held for the whole run, so that an event that
 * takes long is not begun a second time elsewhere.
 */

require_once __DIR__ . '/config.php';

$config = stackyard_config();

if ( isset( $argv[1] ) ) {
	// One site of a network; the lock is held by the process that started this one.
	stackyard_pose_as_request( $argv[1] );
	require $config['root'] . '/wp-cron.php';
	exit;
}

$link = mysqli_init();
if ( ! stackyard_connect( $link ) ) {
	fwrite( STDERR, 'The database does not answer: ' . $link->connect_error . "\n" );
	exit( 1 );
}
if ( ! stackyard_lock( $link, 'cron', 0 ) ) {
	echo "Another machine runs the scheduled events.\n";
	exit;
}

if ( empty( $config['constants']['MULTISITE'] ) ) {
	stackyard_pose_as_request( $config['constants']['WP_HOME'] );
	// Ends the process.
	require $config['root'] . '/wp-cron.php';
	exit;
}

$scheme = parse_url( $config['constants']['WP_HOME'], PHP_URL_SCHEME );
$sites  = $link->query( "SELECT domain, path FROM `{$config['table_prefix']}blogs` WHERE archived = '0' AND deleted = 0 AND spam = 0" );
$failed = false;
foreach ( $sites->fetch_all( MYSQLI_ASSOC ) as $site ) {
	// WordPress cannot change the site within a process completely: plug-ins stay loaded.
	$child  = proc_open( array( PHP_BINARY, __FILE__, "$scheme://{$site['domain']}{$site['path']}" ), array(), $pipes );
	$failed = 0 !== proc_close( $child ) || $failed;
}
exit( $failed ? 1 : 0 );
