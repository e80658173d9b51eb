package command

import (
	"context"
	"fmt"
	"path/filepath"

	"go.temporal.io/sdk/client"

	"tempera/infra/artifact/minio"
	"tempera/infra/devstack"
	"tempera/infra/temporalx"
)

// endpoints returns the servers to use.
func (a *app) endpoints() (devstack.Endpoints, error) {
	e, err := devstack.Resolve(a.home)
	if err != nil {
		return e, fmt.Errorf("find the servers: %w", err)
	}
	return e, nil
}

// dataFolder is where workers keep what they install and cache.
func dataFolder(home string) (string, error) {
	home, err := devstack.Home(home)
	return filepath.Join(home, "data"), err
}

// temporal connects and makes sure that the search attributes are there: a run
// would hang without them.
func (a *app) temporal(ctx context.Context, e devstack.Endpoints) (client.Client, error) {
	c, err := temporalx.Dial(ctx, e.Temporal.Options())
	if err != nil {
		return nil, err
	}
	if err := temporalx.VerifySearchAttributes(ctx, c, e.Temporal.Namespace); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// store opens the bucket; credentials that may only read will do.
func (a *app) store(ctx context.Context) (*minio.Store, error) {
	e, err := a.endpoints()
	if err != nil {
		return nil, err
	}
	if e.S3.Embedded && e.S3.SecretKey == "" {
		return nil, fmt.Errorf("there is no stack in this folder yet: run `tempera dev up`, or set S3_ENDPOINT")
	}
	return minio.OpenToRead(ctx, e.S3.Options())
}

// dial connects to the Temporal of this command line.
func (a *app) dial(ctx context.Context) (client.Client, error) {
	e, err := a.endpoints()
	if err != nil {
		return nil, err
	}
	return a.temporal(ctx, e)
}
