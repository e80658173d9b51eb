// Package telemetry is what a process tells about itself: its log, its
// Prometheus metrics with those of the Temporal SDK among them, and whether it
// is alive and ready.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
)

// NewLogger returns a structured log. Format is text or json, level debug,
// info, warn or error.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch strings.ToLower(format) {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", format)
}

// Metrics is a registry of Prometheus metrics. It has the Go runtime's, the
// process's and the Temporal SDK's.
type Metrics struct {
	registry *prometheus.Registry
	provider *metric.MeterProvider
}

// NewMetrics returns a registry of its own, so that tests may have several.
func NewMetrics() (*Metrics, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return &Metrics{registry: registry, provider: metric.NewMeterProvider(metric.WithReader(exporter))}, nil
}

// Registerer is where a process registers metrics of its own.
func (m *Metrics) Registerer() prometheus.Registerer { return m.registry }

// SDK receives the metrics of a Temporal client.
func (m *Metrics) SDK() client.MetricsHandler {
	return opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter: m.provider.Meter("temporal-sdk-go"), UseMonotonicCounters: true,
		OnError: func(err error) { slog.Warn("SDK metric", "error", err) }, // the default panics
	})
}
