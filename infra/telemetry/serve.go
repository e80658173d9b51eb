package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one condition of readiness.
type Check struct {
	Name string
	// Ready reports what is wrong; nil means nothing. It may be called
	// concurrently.
	Ready func(ctx context.Context) error
}

// Endpoints serves /healthz (the process lives), /readyz (every check passes)
// and /metrics on one address.
type Endpoints struct {
	listener net.Listener
	server   *http.Server
}

// Serve listens on address (host:port; port 0 takes a free one) and answers
// until Close.
func Serve(address string, m *Metrics, checks []Check) (*Endpoints, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("health endpoint: %w: choose another address with --health, or \"\" for none", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, r, checks) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	e := &Endpoints{listener: l, server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}
	go func() { _ = e.server.Serve(l) }() // ends with http.ErrServerClosed
	return e, nil
}

// checkLimit bounds one check.
const checkLimit = 3 * time.Second

func ready(w http.ResponseWriter, r *http.Request, checks []Check) {
	ctx, cancel := context.WithTimeout(r.Context(), checkLimit)
	defer cancel()
	var faults []error
	for _, c := range checks {
		if err := c.Ready(ctx); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// Address returns host:port.
func (e *Endpoints) Address() string { return e.listener.Addr().String() }

// Close stops answering.
func (e *Endpoints) Close() error { return e.server.Close() }
