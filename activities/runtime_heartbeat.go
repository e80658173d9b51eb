package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// Beat is what the heartbeat of a running stage carries.
type Beat struct {
	Progress
	Checkpoint int64 `json:"checkpoint,omitempty"` // step of the newest checkpoint
	Resumed    int64 `json:"resumed,omitempty"`    // step that the attempt went on from
}

const (
	// beatInterval is well below the heartbeat timeout of ten seconds.
	beatInterval = time.Second
	// beatLimit bounds one heartbeat; the next one tries again.
	beatLimit = 3 * time.Second
)

// beat sends heartbeats until the returned function is called. They come from
// a timer: a kind that computes for minutes without reporting is alive.
func (a *attempt) beat(ctx context.Context) (stop func()) {
	return a.runtime.everyBeat(ctx, func() any {
		var b Beat
		if p := a.progress.Load(); p != nil {
			b.Progress = *p
		}
		b.Checkpoint, b.Resumed = a.points.newest(), a.points.resumed.Load()
		return b
	})
}

// alive sends heartbeats until the returned function is called, so that the
// loss of the worker is noticed within seconds also while nothing is computed.
func (r *Runtime) alive(ctx context.Context) (stop func()) {
	if !activity.IsActivity(ctx) {
		return func() {}
	}
	return r.everyBeat(ctx, func() any { return nil })
}

func (r *Runtime) everyBeat(ctx context.Context, details func() any) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(beatInterval)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				r.heartbeat(ctx, details())
			}
		}
	}()
	return func() { close(done) }
}

// heartbeat sends one heartbeat, also when ctx is cancelled: a cancelled stage
// writes a checkpoint. The SDK's own heartbeat cancels the activity when it has
// not got through for a throttle interval, so that a Temporal that is away for
// two seconds would stop every stage. The SDK is told only what the server has
// decided: that the activity is cancelled, paused, reset or lost.
func (r *Runtime) heartbeat(ctx context.Context, details any) {
	if r.Client == nil {
		activity.RecordHeartbeat(ctx, details)
		return
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatLimit)
	defer cancel()
	err := r.Client.RecordActivityHeartbeat(limited, activity.GetInfo(ctx).TaskToken, details)
	var lost *serviceerror.NotFound
	if temporal.IsCanceledError(err) || errors.As(err, &lost) || errors.Is(err, activity.ErrActivityPaused) || errors.Is(err, activity.ErrActivityReset) {
		activity.RecordHeartbeat(ctx, details) // is answered the same
	}
}
