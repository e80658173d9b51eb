// Command worker is the deployable worker of Tempera. It is configured by flags
// and by the environment: TEMPORAL_ADDRESS and the SDK's other TEMPORAL_
// variables, S3_ENDPOINT, S3_BUCKET and the usual AWS_ variables; without them
// it uses the embedded stack of the data folder.
//
// Exit codes: 0 stopped as asked, 2 wrong flags, 3 a server does not answer or
// refuses.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/pflag"

	"tempera/cmd/worker/host"
	"tempera/infra/devstack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	var flags host.Flags
	fs := pflag.NewFlagSet("worker", pflag.ContinueOnError)
	flags.Add(fs)
	home := fs.String("home", "", "data folder (default $TEMPERA_HOME, else .tempera)")
	err := fs.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	options, optionsErr := flags.Options(os.Stderr)
	if err = errors.Join(err, optionsErr); err != nil {
		return report(err, 2)
	}
	folder, err := devstack.Home(*home)
	if err != nil {
		return report(err, 3)
	}
	options.Data = filepath.Join(folder, "data")
	if options.Endpoints, err = devstack.Resolve(folder); err != nil {
		return report(err, 2)
	}
	// Garbage between two collections may be as much as what lives: near nine tenths of the memory it is collected sooner.
	if _, err := memlimit.Set(memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem))); err != nil {
		return report(err, 3)
	}
	if err := host.Run(ctx, options); err != nil {
		return report(err, 3)
	}
	return 0
}

// report prints an error, one line a fault.
func report(err error, code int) int {
	for line := range strings.Lines(strings.TrimSpace(err.Error())) {
		fmt.Fprintln(os.Stderr, "worker:", strings.TrimSpace(line))
	}
	return code
}
