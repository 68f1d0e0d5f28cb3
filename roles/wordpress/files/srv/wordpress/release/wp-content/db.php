<?php
/**
 * WordPress' database class with a connection that checks whom it talks to (see stackyard_connect).
 */

require_once '/usr/local/lib/wordpress/config.php';

// phpcs:ignore -- the name is this project's, not a plug-in's.
class Stackyard_Database extends wpdb {

	/** Whether the character set has been settled with a server once. */
	private bool $settled = false;

	/**
	 * Connect, and settle character set and SQL mode as WordPress does.
	 *
	 * @param bool $allow_bail Whether to end with WordPress' page about a lost database.
	 */
	public function db_connect( $allow_bail = true ) {
		$this->is_mysql = true;
		$link           = mysqli_init();

		if ( ! stackyard_connect( $link ) ) {
			// The reason goes to the log alone: it names hosts and users.
			error_log( 'The database does not answer: ' . $link->connect_error );
			$this->dbh = null;
			if ( $allow_bail ) {
				wp_load_translations_early();
				// WordPress itself would say 500, as for a fault in the code.
				wp_die( '<h1>' . __( 'Error establishing a database connection' ) . '</h1>', '', array( 'response' => 503 ) );
			}
			return false;
		}

		$this->dbh = $link;
		if ( ! $this->settled ) {
			$this->init_charset();
			$this->settled = true;
		}
		$this->set_charset( $this->dbh );
		$this->ready = true;
		$this->set_sql_mode();
		$this->select( $this->dbname, $this->dbh );
		return true;
	}
}

$wpdb = new Stackyard_Database( DB_USER, DB_PASSWORD, DB_NAME, DB_HOST );
