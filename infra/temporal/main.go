// Command temporal is the embedded Temporal: the server, its web UI and a SQLite
// file in one process. It serves one machine; production runs Temporal on
// PostgreSQL instead and points TEMPORAL_ADDRESS at it.
//
// Killed at any moment and started again on the same file, it goes on where it
// was. It ignores SIGHUP, so that it outlives the terminal and the process that
// started it, and stops gracefully on SIGINT and SIGTERM.
//
// It prints one line that begins with READY once requests are answered.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uiopts "github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/server/common/headers"
	"go.temporal.io/server/temporal"
)

// gcPercent trades about 200 MB of memory for a twentieth of the processor.
const gcPercent = 300

func main() {
	signal.Ignore(syscall.SIGHUP)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := run(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "temporal:", err)
		os.Exit(1)
	}
}

// attributes collects repeated -search-attribute Name=Type flags.
type attributes map[string]string

func (a attributes) String() string { return "" }

func (a attributes) Set(s string) error {
	name, kind, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q: want Name=Type, e.g. Pipeline=Keyword", s)
	}
	a[name] = kind
	return nil
}

// options are the flags.
type options struct {
	ip         string
	port       int
	uiPort     int
	metrics    int
	database   string
	namespace  string
	retention  time.Duration
	logLevel   string
	attributes attributes
}

func parse(args []string) (options, error) {
	o := options{attributes: attributes{}}
	fs := flag.NewFlagSet("temporal", flag.ContinueOnError)
	fs.StringVar(&o.ip, "ip", "127.0.0.1", "address to listen on")
	fs.IntVar(&o.port, "port", 7233, "port of the gRPC frontend")
	fs.IntVar(&o.uiPort, "ui-port", 8233, "port of the web UI")
	fs.IntVar(&o.metrics, "metrics-port", 0, "port of the Prometheus metrics; 0 means none")
	fs.StringVar(&o.database, "db", "temporal.db", "SQLite file, created where it does not exist")
	fs.StringVar(&o.namespace, "namespace", "default", "namespace to create")
	fs.DurationVar(&o.retention, "retention", 90*24*time.Hour, "how long closed workflows of a new namespace are kept")
	fs.StringVar(&o.logLevel, "log-level", "warn", "debug, info, warn or error")
	fs.Var(o.attributes, "search-attribute", "Name=Type to register with a new namespace; may be repeated")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return o, nil
}

func run(args []string) error {
	began := time.Now()
	o, err := parse(args)
	if err != nil {
		return err
	}
	store := sqliteConfig(o.database)
	if err := prepareDatabase(o); err != nil {
		return err
	}
	server, err := newServer(o, store)
	if err != nil {
		return err
	}
	ui := uiserver.NewServer(uiopts.WithConfigProvider(&uiconfig.Config{
		Host: o.ip, Port: o.uiPort, TemporalGRPCAddress: fmt.Sprintf("%s:%d", o.ip, o.port), DefaultNamespace: o.namespace,
		EnableUI: true, HideLogs: true, DisableNewsFetch: true, CORS: uiconfig.CORS{CookieInsecure: true},
	}))
	if err := server.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	failed := make(chan error, 1)
	go func() { failed <- ui.Start() }()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	fmt.Printf("READY temporal %s on %s:%d, UI http://%s:%d, database %s, in %s\n",
		headers.ServerVersion, o.ip, o.port, o.ip, o.uiPort, o.database, time.Since(began).Round(time.Millisecond))
	select {
	case s := <-stop:
		slog.Info("stopping", "signal", s.String())
		ui.Stop()
		return stopServer(server)
	case err := <-failed:
		return errors.Join(fmt.Errorf("web UI on port %d: %w", o.uiPort, err), stopServer(server))
	}
}

func stopServer(s temporal.Server) error {
	if err := s.Stop(); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}
