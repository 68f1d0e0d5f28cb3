<?php
/**
 * Plugin Name: molecule-probe
 * Description: Shows what WordPress itself knows, and counts how often an event has run.
 */

add_action(
	'rest_api_init',
	static function (): void {
		register_rest_route(
			'molecule/v1',
			'/probe',
			array(
				'methods'             => 'GET',
				'permission_callback' => '__return_true',
				'callback'            => static fn() => array(
					'remote_addr' => $_SERVER['REMOTE_ADDR'],
					'host'        => $_SERVER['HTTP_HOST'],
					'https'       => is_ssl(),
					'upload_max'  => wp_max_upload_size(),
					'events'      => (int) get_option( 'molecule_events' ),
				),
			)
		);
	}
);

add_action(
	'molecule_event',
	static function (): void {
		global $wpdb;
		// As long as a test wants it to, a minute at most: for a second machine to come by.
		for ( $i = 0; $i < 600 && file_exists( '/run/molecule-event-goes-on' ); $i++ ) {
			usleep( 100000 );
			clearstatcache();
		}
		$wpdb->query( "INSERT INTO $wpdb->options (option_name, option_value, autoload) VALUES ('molecule_events', 1, 'off') ON DUPLICATE KEY UPDATE option_value = option_value + 1" );
	}
);
