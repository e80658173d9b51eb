package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tempera/infra/devstack"
	"tempera/infra/devstack/serverbuild"
)

func devCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run the embedded stack: Temporal with its web UI, MinIO with its console",
	}
	c.AddCommand(devUpCommand(a), devDownCommand(a), devStatusCommand(a), devLogsCommand(a), devBuildCommand(a))
	return c
}

func devUpCommand(a *app) *cobra.Command {
	var ports devstack.Ports
	c := &cobra.Command{
		Use:   "up",
		Short: "Build what is missing, start what does not run, wait until all of it answers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := a.up(cmd.Context(), ports)
			if err != nil {
				return err
			}
			return a.print(e, func(w io.Writer) { showEndpoints(w, e) })
		},
	}
	portFlags(c, &ports)
	return c
}

// up starts what does not run.
func (a *app) up(ctx context.Context, ports devstack.Ports) (devstack.Endpoints, error) {
	e, err := devstack.Up(ctx, a.stack(ports))
	if errors.Is(err, devstack.ErrPort) {
		err = wrong(err)
	}
	return e, err
}

func portFlags(c *cobra.Command, p *devstack.Ports) {
	f := c.Flags()
	f.IntVar(&p.Temporal, "temporal-port", 0, "port of Temporal (default 7233, or that of the last start)")
	f.IntVar(&p.UI, "ui-port", 0, "port of Temporal's web UI (default 8233)")
	f.IntVar(&p.MinIO, "minio-port", 0, "port of MinIO (default 9000)")
	f.IntVar(&p.Console, "console-port", 0, "port of MinIO's console (default 9001)")
}

func (a *app) stack(ports devstack.Ports) devstack.Options {
	return devstack.Options{
		Home: a.home, Ports: ports,
		Say:   func(line string) { a.say("%s", line) },
		Build: serverbuild.Options{Progress: a.buildProgress()},
	}
}

// buildProgress paints a build on one line of a terminal, else tells it every
// quarter of a minute.
func (a *app) buildProgress() func(serverbuild.Progress) {
	var (
		mu   sync.Mutex
		told time.Time
	)
	live := a.live(a.err)
	return func(p serverbuild.Progress) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case live && p.Done:
			a.say("\r\x1b[K%s", p)
		case live:
			fmt.Fprintf(a.err, "\r\x1b[K%s", p)
		case p.Done || time.Since(told) > 15*time.Second:
			told = time.Now()
			a.say("%s", p)
		}
	}
}

func showEndpoints(w io.Writer, e devstack.Endpoints) {
	rows := [][]string{{"temporal", e.Temporal.Address, e.Temporal.UI}, {"minio", e.S3.Endpoint, e.S3.Console}}
	table(w, []string{"SERVER", "ADDRESS", "IN THE BROWSER"}, rows)
	if e.S3.Embedded {
		fmt.Fprintf(w, "MinIO's user is %s, the password %s, the bucket %s.\n", e.S3.AccessKey, e.S3.SecretKey, e.S3.Bucket)
	}
}

func devDownCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the servers and the worker; the data stays",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.stopWorker(cmd.Context()); err != nil {
				return err
			}
			return devstack.Down(cmd.Context(), a.stack(devstack.Ports{}))
		},
	}
}

func devStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the servers are; exit code 3 where one does not answer",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := devstack.Status(cmd.Context(), a.home)
			if err != nil {
				return err
			}
			if err := a.print(st, func(w io.Writer) { showStatus(w, st) }); err != nil {
				return err
			}
			if !st.Healthy() {
				return fmt.Errorf("the stack is not up: run `tempera dev up`")
			}
			return nil
		},
	}
}

func showStatus(w io.Writer, st devstack.State) {
	var rows [][]string
	for _, s := range st.Servers {
		state := "up"
		if !s.Healthy {
			state = strings.ReplaceAll(s.Problem, "\n", "; ")
		}
		pid, size, since := "", "", ""
		if s.Pid != 0 {
			pid, since = fmt.Sprint(s.Pid), clock(s.Since)
		}
		if s.Embedded {
			size = bytesText(s.Bytes)
		}
		rows = append(rows, []string{s.Name, s.Address, s.UI, pid, since, size, state})
	}
	table(w, []string{"SERVER", "ADDRESS", "IN THE BROWSER", "PID", "SINCE", "DATA", "STATE"}, rows)
	fmt.Fprintf(w, "data folder %s, bucket %s\n", st.Home, st.Bucket)
	if st.Credentials != nil {
		fmt.Fprintf(w, "MinIO's user %s, password %s\n", st.Credentials.User, st.Credentials.Password)
	}
}

func devLogsCommand(a *app) *cobra.Command {
	var follow bool
	var tail int64
	c := &cobra.Command{
		Use:       "logs temporal|minio|worker",
		Short:     "Print the log of a server",
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"temporal", "minio", "worker"},
		RunE: func(cmd *cobra.Command, args []string) error {
			o := devstack.LogOptions{Home: a.home, Server: args[0], Tail: tail}
			if follow {
				o.Follow = devstack.Onwards
			}
			err := devstack.Logs(cmd.Context(), a.out, o)
			if errors.Is(err, devstack.ErrNoServer) {
				return wrong(err)
			}
			return err
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more")
	c.Flags().Int64Var(&tail, "tail", 64<<10, "bytes from the end; 0 prints all of it")
	return c
}

func devBuildCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Build the servers into the cache without starting them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			paths := map[string]string{}
			for _, s := range serverbuild.All() {
				path, err := serverbuild.Ensure(cmd.Context(), s, serverbuild.Options{Progress: a.buildProgress()})
				if err != nil {
					return err
				}
				paths[s.Name] = path
			}
			return a.print(paths, func(w io.Writer) {
				for _, s := range serverbuild.All() {
					fmt.Fprintf(w, "%s\t%s\n", s.Name, paths[s.Name])
				}
			})
		},
	}
}
