package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/config"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives/timestamp"
	sqliteschema "go.temporal.io/server/schema/sqlite"
)

// sqliteConfig opens the file in WAL mode with synchronous=NORMAL: a killed
// process loses nothing, a power cut may lose the last moments but never
// corrupts. It is eight times as fast as the defaults. The page cache and rarer
// checkpoints of the log keep a run of a thousand stages out of the disk's way.
func sqliteConfig(file string) *config.SQL {
	return &config.SQL{
		PluginName:   sqliteplugin.PluginName,
		DatabaseName: file,
		ConnectAttributes: map[string]string{
			"mode":               "rwc",
			"journal_mode":       "wal",
			"synchronous":        "1",
			"cache_size":         "-65536", // KiB
			"wal_autocheckpoint": "4000",   // pages
			"temp_store":         "2",      // memory
		},
	}
}

// prepareDatabase creates the file with its schema where there is none, and the
// namespace in it. The schema is made in a file of another name that is renamed
// when whole, so that a kill leaves no half-made database.
func prepareDatabase(o options) error {
	if _, err := os.Stat(o.database); errors.Is(err, fs.ErrNotExist) {
		if err := createDatabase(o.database); err != nil {
			return fmt.Errorf("create database %s: %w", o.database, err)
		}
	} else if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := dropIndexes(o.database); err != nil {
		return fmt.Errorf("indexes of database %s: %w", o.database, err)
	}
	types := map[string]enums.IndexedValueType{}
	for name, kind := range o.attributes {
		t, err := enums.IndexedValueTypeFromString(kind)
		if err != nil {
			return fmt.Errorf("search attribute %s: type %q: want Keyword, Text, Int, Double, Bool, Datetime or KeywordList", name, kind)
		}
		types[name] = t
	}
	ns, err := sqliteschema.NewNamespaceConfig(cluster, o.namespace, false, types)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", o.namespace, err)
	}
	ns.Detail.Config.Retention = timestamp.DurationPtr(o.retention)
	if err := sqliteschema.CreateNamespaces(sqliteConfig(o.database), ns); err != nil {
		return fmt.Errorf("open database %s: %w", o.database, err)
	}
	return nil
}

func createDatabase(file string) error {
	fresh := file + ".new"
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(fresh + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	store := sqliteConfig(fresh)
	store.ConnectAttributes["journal_mode"] = "delete" // one file, so that one rename moves it all
	if err := sqliteschema.SetupSchema(store); err != nil {
		if strings.Contains(err.Error(), "disk is full") {
			return fmt.Errorf("the disk is full: %w", err)
		}
		return err
	}
	return os.Rename(fresh, file)
}

// listIndexes are the indexes of the table of executions that lists of runs,
// stages and schedules use.
var listIndexes = []string{
	"default_idx", "by_workflow_id", "by_status", "by_parent_workflow_id", "by_root_workflow_id",
	"by_temporal_namespace_division", "by_temporal_scheduled_by_id",
}

// dropIndexes drops the other indexes of that table. The schema has one for each
// of about sixty columns, most of them never filled, and every start, change and
// end of a stage wrote to all of them: a fifth of the server's time. Lists by
// another column read the default index instead.
func dropIndexes(file string) (err error) {
	db, err := sql.Open("sqlite", file) // the driver of Temporal's SQLite store
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.Query("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'executions_visibility' AND sql IS NOT NULL")
	if err != nil {
		return err
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return errors.Join(err, rows.Close())
		}
		names = append(names, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(listIndexes, name) {
			continue
		}
		if _, err := db.Exec("DROP INDEX " + name); err != nil {
			return err
		}
	}
	return nil
}
