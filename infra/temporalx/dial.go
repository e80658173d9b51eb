package temporalx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
)

// ErrUnreachable is what Dial wraps when no server answers.
var ErrUnreachable = errors.New("Temporal is unreachable")

// ErrRefused is what Dial wraps when a server answers but does not let us in, or
// has not got the namespace.
var ErrRefused = errors.New("Temporal refused")

// Options tells Dial where to connect. Its zero value is a server on this
// machine.
type Options struct {
	// Address is used where the environment (TEMPORAL_ADDRESS, or the profile in
	// the SDK's configuration file) names none; "" means 127.0.0.1:7233.
	Address string
	// Namespace is used where the environment names none; "" means default.
	Namespace string
	// Embedded connects to the embedded server at Address and ignores what the
	// environment says of others.
	Embedded bool
	// Timeout bounds the whole of Dial; 0 means 10 s.
	Timeout time.Duration
	// Log receives the SDK's log; nil drops it.
	Log *slog.Logger
	// Metrics receives the SDK's metrics; nil drops them.
	Metrics client.MetricsHandler
	// DataConverter is for callers with a codec of their own.
	DataConverter converter.DataConverter
}

// resolved fills in what the environment and the SDK's own configuration file
// say: address, namespace, TLS, API key, gRPC headers.
func (o Options) resolved() (client.Options, error) {
	var c client.Options
	if o.Embedded {
		// On this machine, packing a message costs more than sending it.
		c.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	} else {
		var err error
		if c, err = envconfig.LoadDefaultClientOptions(); err != nil {
			return c, fmt.Errorf("read the Temporal settings from the environment: %w", err)
		}
	}
	if c.HostPort == "" {
		c.HostPort = o.Address
	}
	if c.HostPort == "" {
		c.HostPort = client.DefaultHostPort
	}
	if _, _, err := net.SplitHostPort(c.HostPort); err != nil && !strings.Contains(c.HostPort, "://") {
		return c, fmt.Errorf("address %q of Temporal: want host:port, e.g. 127.0.0.1:7233 (see TEMPORAL_ADDRESS)", c.HostPort)
	}
	if c.Namespace == "" {
		c.Namespace = o.Namespace
	}
	if c.Namespace == "" {
		c.Namespace = client.DefaultNamespace
	}
	logger := o.Log
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = log.NewStructuredLogger(logger)
	if o.Metrics != nil {
		c.MetricsHandler = o.Metrics
	}
	if o.DataConverter != nil {
		c.DataConverter = o.DataConverter
	}
	return c, nil
}

// DefaultNamespace is the namespace of the embedded server.
const DefaultNamespace = client.DefaultNamespace

// External reports whether the environment names a Temporal server: by its
// address, or by a profile of the SDK's configuration file.
func External() bool {
	for _, name := range []string{"TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// Target returns the address and the namespace that Dial would use.
func (o Options) Target() (address, namespace string, err error) {
	c, err := o.resolved()
	return c.HostPort, c.Namespace, err
}

// Dial connects and makes sure that the namespace answers. Its error is one
// line that says what to do.
func Dial(ctx context.Context, o Options) (client.Client, error) {
	resolved, err := o.resolved()
	if err != nil {
		return nil, err
	}
	timeout := o.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := client.DialContext(ctx, resolved)
	if err != nil {
		return nil, explain(err, resolved)
	}
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: resolved.Namespace})
	if err != nil {
		c.Close()
		return nil, explain(err, resolved)
	}
	return c, nil
}

// explain turns an error of the first calls into one line.
func explain(err error, o client.Options) error {
	var (
		missing  *serviceerror.NamespaceNotFound
		notFound *serviceerror.NotFound
		denied   *serviceerror.PermissionDenied
	)
	reason := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	if _, inner, ok := strings.Cut(reason, `connection error: desc = "`); ok { // what gRPC wraps around it says no more
		reason = strings.TrimPrefix(strings.TrimSuffix(inner, `"`), "transport: Error while dialing: ")
	}
	switch {
	case errors.As(err, &missing), errors.As(err, &notFound):
		return fmt.Errorf("%w: namespace %q does not exist at %s: create it, or set TEMPORAL_NAMESPACE", ErrRefused, o.Namespace, o.HostPort)
	case errors.As(err, &denied), strings.Contains(reason, "Unauthenticated"), strings.Contains(reason, "unauthorized"):
		return fmt.Errorf("%w: no permission for namespace %q at %s: check TEMPORAL_API_KEY or the client certificate (%s)", ErrRefused, o.Namespace, o.HostPort, reason)
	case strings.Contains(reason, "tls:"), strings.Contains(reason, "x509:"), strings.Contains(reason, "first record does not look like a TLS handshake"):
		return fmt.Errorf("%w: TLS with %s does not come about: check the TEMPORAL_TLS settings (%s)", ErrRefused, o.HostPort, reason)
	}
	return fmt.Errorf("%w at %s: start it with `tempera dev up`, or set TEMPORAL_ADDRESS (%s)", ErrUnreachable, o.HostPort, reason)
}
