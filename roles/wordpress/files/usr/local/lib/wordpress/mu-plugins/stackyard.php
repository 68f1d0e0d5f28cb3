<?php
/**
 * Plugin Name: stackyard
 * Description: What a site on machines from an image needs: mail as configured, one limit for uploads, no changes to the code.
 */

defined( 'ABSPATH' ) || exit;

// Mail goes through the configured server, and its certificate is checked.
add_action(
	'phpmailer_init',
	static function ( $mailer ): void {
		$smtp = defined( 'STACKYARD_SMTP' ) ? STACKYARD_SMTP : array();
		if ( empty( $smtp['host'] ) ) {
			return;
		}
		$mailer->isSMTP();
		$mailer->Host        = $smtp['host'];
		$mailer->Port        = $smtp['port'];
		$mailer->SMTPSecure  = 'none' === $smtp['security'] ? '' : $smtp['security'];
		$mailer->SMTPAutoTLS = 'none' !== $smtp['security'];
		$mailer->Timeout     = 10;
		if ( '' !== $smtp['username'] ) {
			$mailer->SMTPAuth = true;
			$mailer->Username = $smtp['username'];
			$mailer->Password = $smtp['password'];
		}
	}
);
foreach ( array( 'from', 'from_name' ) as $stackyard_field ) {
	if ( defined( 'STACKYARD_SMTP' ) && ! empty( STACKYARD_SMTP[ $stackyard_field ] ) ) {
		add_filter( "wp_mail_$stackyard_field", static fn() => STACKYARD_SMTP[ $stackyard_field ], 5 );
	}
}

// A network of sites has a limit for uploads of its own, far below those of nginx and PHP.
add_filter( 'pre_site_option_fileupload_maxk', static fn() => STACKYARD_UPLOAD_MAX_MB * 1024 );

if ( ! STACKYARD_XMLRPC ) {
	add_filter( 'xmlrpc_enabled', '__return_false' );
	add_filter( 'pings_open', '__return_false' );
	add_filter(
		'wp_headers',
		static function ( array $headers ): array {
			unset( $headers['X-Pingback'] );
			return $headers;
		}
	);
	remove_action( 'wp_head', 'rsd_link' );
}

// Why there is no button: the code is part of the machine's image.
add_action(
	'admin_notices',
	static function (): void {
		$screen = get_current_screen();
		if ( $screen && in_array( $screen->id, array( 'dashboard', 'plugins', 'themes', 'update-core' ), true ) && current_user_can( 'manage_options' ) ) {
			echo '<div class="notice notice-info"><p>WordPress, plug-ins and themes of this site are part of its machine image and cannot be changed here. ',
				'To install or update one, change the versions in the deployment and roll out a new image.</p></div>';
		}
	}
);

// No page waits for wordpress.org, which where names are not answered takes more than half a minute: whether there are updates the
// scheduled events ask, and the pages that are about nothing else.
remove_action( 'admin_init', '_maybe_update_core' );
remove_action( 'admin_init', '_maybe_update_plugins' );
remove_action( 'admin_init', '_maybe_update_themes' );
remove_action( 'load-plugins.php', 'wp_update_plugins' );
remove_action( 'load-themes.php', 'wp_update_themes' );
add_filter(
	'pre_http_request',
	static function ( $answer, array $arguments, string $url ) {
		$asked = in_array( $GLOBALS['pagenow'], array( 'update-core.php', 'site-health.php', 'credits.php' ), true );
		if ( ! is_admin() || wp_doing_ajax() || $asked || 'api.wordpress.org' !== wp_parse_url( $url, PHP_URL_HOST ) ) {
			return $answer;
		}
		return new WP_Error( 'stackyard', 'Pages of administrators do not ask wordpress.org.' );
	},
	10,
	3
);

// These would call an image that does not update itself broken.
add_filter(
	'site_status_tests',
	static function ( array $tests ): array {
		unset( $tests['async']['background_updates'], $tests['direct']['plugin_theme_auto_updates'], $tests['direct']['update_temp_backup_writable'] );
		return $tests;
	}
);
