package telemetry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestTheEndpointsTellHowTheProcessIs(t *testing.T) {
	m, err := NewMetrics()
	require.NoError(t, err)
	var broken atomic.Bool
	e, err := Serve("127.0.0.1:0", m, []Check{
		{"store", func(context.Context) error { return nil }},
		{"temporal", func(context.Context) error {
			if broken.Load() {
				return errors.New("gone")
			}
			return nil
		}},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	m.SDK().WithTags(map[string]string{"queue": "q"}).Counter("temporal_test_total").Inc(3)

	status, _ := get(t, "http://"+e.Address()+"/healthz")
	require.Equal(t, 200, status)
	status, body := get(t, "http://"+e.Address()+"/readyz")
	require.Equal(t, 200, status, body)
	broken.Store(true)
	status, body = get(t, "http://"+e.Address()+"/readyz")
	require.Equal(t, 503, status)
	require.Contains(t, body, "temporal: gone")
	require.NotContains(t, body, "store")
	status, body = get(t, "http://"+e.Address()+"/metrics")
	require.Equal(t, 200, status)
	require.Contains(t, body, `temporal_test_total{queue="q"} 3`)
	require.Contains(t, body, "go_goroutines")
}

func TestTheLogRefusesWhatItDoesNotKnow(t *testing.T) {
	var b strings.Builder
	log, err := NewLogger(&b, "json", "warn")
	require.NoError(t, err)
	log.Info("dropped")
	log.Warn("kept", "n", 1)
	require.Equal(t, 1, strings.Count(b.String(), "\n"))
	require.Contains(t, b.String(), `"msg":"kept","n":1`)
	_, err = NewLogger(&b, "json", "loud")
	require.ErrorContains(t, err, "want debug")
	_, err = NewLogger(&b, "xml", "info")
	require.ErrorContains(t, err, "want text or json")
}
