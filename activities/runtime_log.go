package activities

import (
	"bytes"
	"context"
	"log/slog"
	"path"
	"sync"
	"time"

	"tempera/infra/artifact"
)

// attemptLog is the log of one attempt: lines go to the worker's log, and to a
// file in the run folder. The file of a stage is brought up to date while it
// runs; a shard leaves one only when it failed.
type attemptLog struct {
	*slog.Logger
	worker *slog.Logger // the worker's log alone
	owner  *attempt
	name   string
	done   chan struct{}

	mu    sync.Mutex
	lines bytes.Buffer
	saved int // bytes of lines that are in the store
	lost  int // bytes that did not fit
}

const (
	logLimit    = 16 << 20
	logInterval = 20 * time.Second
	logTimeout  = 30 * time.Second
)

func newAttemptLog(a *attempt) *attemptLog {
	q := a.request
	l := &attemptLog{
		owner: a, done: make(chan struct{}),
		name: artifact.RunName(q.Pipeline, RunFolder(q.Run), path.Join(a.name, a.began.UTC().Format("20060102T150405.000")+".log")),
	}
	own := slog.NewTextHandler(l, nil)
	l.worker = slog.New(a.runtime.logger().Handler().WithAttrs([]slog.Attr{
		slog.String("run", q.Run), slog.String("stage", a.name), slog.String("kind", q.Kind), slog.Int("attempt", int(a.number)),
	}))
	l.Logger = slog.New(slog.NewMultiHandler(l.worker.Handler(), own))
	return l
}

// keep brings the file of a stage up to date from now on, until close.
func (l *attemptLog) keep() {
	if l.owner.request.Shard == nil {
		go l.follow()
	}
}

// Write implements io.Writer for the handler.
func (l *attemptLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines.Len()+len(line) > logLimit {
		l.lost += len(line)
		return len(line), nil
	}
	return l.lines.Write(line)
}

func (l *attemptLog) follow() {
	tick := time.NewTicker(logInterval)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
			l.save(context.Background())
		}
	}
}

// save brings the file up to date. A store that is away costs the file, not the
// stage: the worker's log has the lines too.
func (l *attemptLog) save(ctx context.Context) {
	if l.owner.request.Shard != nil {
		return
	}
	l.upload(ctx)
}

func (l *attemptLog) upload(ctx context.Context) {
	l.mu.Lock()
	text, dirty := bytes.Clone(l.lines.Bytes()), l.lines.Len() > l.saved
	l.mu.Unlock()
	if !dirty {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logTimeout)
	defer cancel()
	if err := writeName(ctx, l.owner.runtime.Store, l.name, text); err != nil {
		l.owner.runtime.logger().Warn("attempt's log is not in the run folder", "name", l.name, "error", err)
		return
	}
	l.mu.Lock()
	l.saved = max(l.saved, len(text))
	l.mu.Unlock()
}

func (l *attemptLog) close(ctx context.Context, failed bool) {
	close(l.done)
	if l.lost > 0 {
		l.owner.runtime.logger().Warn("attempt's log was cut", "name", l.name, "bytes", l.lost)
	}
	if failed || l.owner.request.Shard == nil {
		l.upload(ctx)
	}
}

// RunFolder returns the folder name of a run: its ID without what a path cannot
// hold.
func RunFolder(run string) string {
	name := []byte(run)
	for i, b := range name {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '-', b == '_', b == '.' && i > 0:
		default:
			name[i] = '_'
		}
	}
	if len(name) == 0 {
		return "_"
	}
	return string(name)
}
