<?php
/**
 * Brings the database and the uploads to what the code of this machine needs: first installation, or upgrade.
 *
 * Every machine runs this when it starts, and one of the fleet does the work, under a lock in the database; the others
 * wait for it and find nothing left to do. A machine that dies in the middle loses the lock with its connection:
 *  - during the first installation a mark, written before anything else and only into a database without the site's
 *    tables, says so, and the next machine starts again from nothing;
 *  - WordPress writes the version of its tables last, and its upgrade steps may be run again.
 *
 * Started by root, since only root may read the administrator's first password; WordPress' code runs as the web user.
 * The last line of its output is what it did: installed, upgraded, current or newer.
 */

require_once __DIR__ . '/config.php';

const STACKYARD_SETUP_FILE = '/etc/wordpress/setup.json';

/** A condition that somebody can do something about, as one sentence. */
class Stackyard_Setup_Error extends RuntimeException {}

/** Become the user that PHP-FPM runs as, for good. */
function stackyard_become( string $name ): void {
	$user = posix_getpwnam( $name );
	if ( ! $user || ! posix_initgroups( $name, $user['gid'] ) || ! posix_setgid( $user['gid'] ) || ! posix_setuid( $user['uid'] ) ) {
		throw new Stackyard_Setup_Error( "This script must be started by root, to go on as the user $name." );
	}
}

/** Refuse to go on where the uploads would land on the machine's own disk, then leave the mark that /healthz reads. */
function stackyard_mark_uploads( array $uploads ): void {
	$path = $uploads['path'];
	if ( $uploads['shared'] ) {
		$mounted = false;
		foreach ( file( '/proc/self/mountinfo' ) as $line ) {
			// The fifth field is the mount point, with blanks written as octal numbers.
			$mounted = $mounted || stripcslashes( explode( ' ', $line )[4] ) === $path;
		}
		if ( ! $mounted ) {
			throw new Stackyard_Setup_Error( "$path (wordpress_uploads_path) is not a mounted file system; mount it, or set wordpress_uploads_shared to false for a single machine." );
		}
	}
	$mark = $path . '/.stackyard-uploads';
	if ( ! file_exists( $mark ) && false === @file_put_contents( $mark, "The uploads of the site; /healthz looks for this file.\n" ) ) {
		throw new Stackyard_Setup_Error( "The web user cannot write to $path (wordpress_uploads_path)." );
	}
}

/** Connect, waiting for a database that is still starting. */
function stackyard_connect_patiently( int $deadline ): mysqli {
	for ( ;; ) {
		$link = mysqli_init();
		if ( stackyard_connect( $link ) ) {
			return $link;
		}
		// Waiting helps against a database that does not answer yet, not against one that says no.
		if ( time() >= $deadline || in_array( $link->connect_errno, array( 1044, 1045, 1049 ), true ) ) {
			$database = stackyard_config()['database'];
			throw new Stackyard_Setup_Error( "The database at {$database['host']}:{$database['port']} does not let this machine in: {$link->connect_error}." );
		}
		sleep( 1 );
	}
}

/** Run a statement; an error ends the run. */
function stackyard_query( mysqli $link, string $statement ): mysqli_result|bool {
	$answer = $link->query( $statement );
	if ( false === $answer ) {
		throw new Stackyard_Setup_Error( 'The database refuses a statement: ' . $link->error . '.' );
	}
	return $answer;
}

/**
 * The tables of the site.
 *
 * @return string[]
 */
function stackyard_tables( mysqli $link, string $prefix ): array {
	$answer = stackyard_query( $link, "SHOW TABLES LIKE '" . addcslashes( $link->real_escape_string( $prefix ), '_%' ) . "%'" );
	return array_column( $answer->fetch_all(), 0 );
}

/** How far an installation has come: '' (never begun by this script), 'installing' or 'installed'. */
function stackyard_state( mysqli $link, string $table, array $tables ): string {
	if ( ! in_array( $table, $tables, true ) ) {
		return '';
	}
	$row = stackyard_query( $link, "SELECT state FROM `$table` LIMIT 1" )->fetch_row();
	return $row[0] ?? '';
}

/** Write down how far the installation has come. */
function stackyard_set_state( mysqli $link, string $table, string $state ): void {
	stackyard_query( $link, "CREATE TABLE IF NOT EXISTS `$table` (id TINYINT NOT NULL PRIMARY KEY, state VARCHAR(32) NOT NULL)" );
	stackyard_query( $link, "REPLACE INTO `$table` (id, state) VALUES (1, '$state')" );
}

/** Load WordPress as its own installer does: without plug-ins. */
function stackyard_load_wordpress( bool $network ): void {
	$config = stackyard_config();
	define( 'WP_INSTALLING', true );
	if ( ! $network && isset( $config['constants']['MULTISITE'] ) ) {
		// Its tables are not there yet.
		define( 'MULTISITE', false );
	}
	stackyard_pose_as_request( $config['constants']['WP_HOME'] );
	require_once $config['root'] . '/wp-load.php';
	require_once ABSPATH . 'wp-admin/includes/upgrade.php';
	// Nothing of this may wait for another server, nor send mail.
	add_filter( 'pre_http_request', static fn() => new WP_Error( 'setup', 'No requests during the installation.' ) );
	add_filter( 'pre_wp_mail', '__return_true' );
}

/** The first installation. */
function stackyard_install( array $setup ): void {
	global $wpdb, $wp_rewrite;
	stackyard_load_wordpress( false );
	wp_install( $setup['title'], $setup['admin_user'], $setup['admin_email'], true, '', $setup['admin_password'], $setup['language'] );
	$wp_rewrite->set_permalink_structure( '/%year%/%monthnum%/%day%/%postname%/' );
	$wp_rewrite->flush_rules();

	$constants = stackyard_config()['constants'];
	if ( isset( $constants['SUBDOMAIN_INSTALL'] ) ) {
		foreach ( $wpdb->tables( 'ms_global' ) as $table => $name ) {
			$wpdb->$table = $name;
		}
		wp_set_current_user( get_user_by( 'login', $setup['admin_user'] )->ID );
		install_network();
		$done = populate_network( 1, $constants['DOMAIN_CURRENT_SITE'], $setup['admin_email'], $setup['title'], $constants['PATH_CURRENT_SITE'], $constants['SUBDOMAIN_INSTALL'] );
		// A wildcard name that cannot be looked up is only a warning: names are the operator's business.
		if ( is_wp_error( $done ) && 'no_wildcard_dns' !== $done->get_error_code() ) {
			throw new Stackyard_Setup_Error( 'WordPress cannot make a network of sites: ' . $done->get_error_message() );
		}
	}
}

/** Bring the tables to the version of the code; says what was done. */
function stackyard_upgrade(): string {
	global $wp_db_version;
	stackyard_load_wordpress( true );
	$done = 'current';
	$ids  = is_multisite() ? get_sites( array( 'fields' => 'ids', 'number' => 0 ) ) : array( 0 );
	foreach ( $ids as $id ) {
		if ( $id ) {
			switch_to_blog( $id );
		}
		$before = (int) get_option( 'db_version' );
		if ( $before > $wp_db_version ) {
			// An older machine beside newer ones, in the middle of a roll-out or of its way back.
			$done = 'newer';
		} elseif ( $before < $wp_db_version ) {
			wp_upgrade();
			wp_cache_flush();
			if ( (int) get_option( 'db_version' ) !== $wp_db_version ) {
				throw new Stackyard_Setup_Error( "WordPress' upgrade of its tables from $before to $wp_db_version did not come to its end." );
			}
			$done = 'upgraded';
		}
		if ( $id ) {
			restore_current_blog();
		}
	}
	return $done;
}

/** The whole; says what was done. */
function stackyard_setup(): string {
	$config = stackyard_config();
	$setup  = json_decode( (string) @file_get_contents( STACKYARD_SETUP_FILE ), true );
	if ( ! is_array( $setup ) ) {
		throw new Stackyard_Setup_Error( STACKYARD_SETUP_FILE . ' cannot be read; this script must be started by root on a configured machine.' );
	}
	stackyard_become( $config['user'] );
	stackyard_mark_uploads( $config['uploads'] );

	$deadline = time() + $setup['deadline'];
	$link     = stackyard_connect_patiently( $deadline );
	if ( ! stackyard_lock( $link, 'setup', max( 1, $deadline - time() ) ) ) {
		throw new Stackyard_Setup_Error( "Another machine has been at the site's installation or upgrade for {$setup['deadline']} s (wordpress_setup_deadline)." );
	}

	$prefix = $config['table_prefix'];
	$table  = $prefix . 'stackyard';
	$tables = stackyard_tables( $link, $prefix );
	$state  = stackyard_state( $link, $table, $tables );
	$others = array_diff( $tables, array( $table ) );

	if ( 'installing' === $state ) {
		// The mark is only ever written into a database without the site's tables, so that all of them are from an
		// installation that was cut off, and nobody has seen the site yet.
		echo "An installation was cut off; it is begun again.\n";
		foreach ( $others as $name ) {
			stackyard_query( $link, 'DROP TABLE `' . str_replace( '`', '``', $name ) . '`' );
		}
		$others = array();
	}
	if ( ! $others ) {
		stackyard_set_state( $link, $table, 'installing' );
		stackyard_install( $setup );
		stackyard_set_state( $link, $table, 'installed' );
		return 'installed';
	}
	if ( ! in_array( $prefix . 'options', $others, true ) || ! in_array( $prefix . 'users', $others, true ) ) {
		throw new Stackyard_Setup_Error( "The database {$config['database']['name']} has tables that begin with $prefix but are not a WordPress site; give another wordpress_table_prefix or an empty database." );
	}
	if ( isset( $config['constants']['MULTISITE'] ) && ! in_array( $prefix . 'blogs', $others, true ) ) {
		throw new Stackyard_Setup_Error( 'The database holds a single site, but wordpress_multisite asks for a network of sites; make the network in the database first, or set wordpress_multisite to none.' );
	}
	$done = stackyard_upgrade();
	if ( 'installed' !== $state ) {
		// A site from elsewhere, imported or restored.
		stackyard_set_state( $link, $table, 'installed' );
	}
	return $done;
}

try {
	$result = stackyard_setup();
	echo $result, "\n";
} catch ( Throwable $e ) {
	// A parameter may be the password, so the trace stays out.
	fwrite( STDERR, ( $e instanceof Stackyard_Setup_Error ? '' : get_class( $e ) . ': ' ) . $e->getMessage() . "\n" );
	exit( 1 );
}
