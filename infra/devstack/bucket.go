package devstack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// ErrStore is wrapped by every error of the bucket.
var ErrStore = errors.New("object store")

func (s S3) client() (*minio.Client, error) {
	u, err := url.Parse(s.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%w: endpoint %q: want http://host:port or https://host", ErrStore, s.Endpoint)
	}
	creds := credentials.NewStaticV4(s.AccessKey, s.SecretKey, s.SessionToken)
	if s.AccessKey == "" {
		creds = credentials.NewChainCredentials([]credentials.Provider{
			&credentials.FileAWSCredentials{}, &credentials.IAM{},
		})
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: creds, Secure: u.Scheme == "https", Region: s.Region, MaxRetries: 3})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStore, s.Endpoint, err)
	}
	return c, nil
}

// EnsureBucket creates the bucket where it is missing.
func EnsureBucket(ctx context.Context, s S3) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	exists, err := c.BucketExists(ctx, s.Bucket)
	if err != nil {
		return s.explain(err)
	}
	if exists {
		return nil
	}
	err = c.MakeBucket(ctx, s.Bucket, minio.MakeBucketOptions{Region: s.Region})
	if code := minio.ToErrorResponse(err).Code; code == "BucketAlreadyOwnedByYou" {
		return nil
	}
	if err != nil {
		return s.explain(err)
	}
	return nil
}

// CheckBucket fails where the bucket is missing or may not be used.
func CheckBucket(ctx context.Context, s S3) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	exists, err := c.BucketExists(ctx, s.Bucket)
	if err != nil {
		return s.explain(err)
	}
	if !exists {
		return fmt.Errorf("%w: bucket %q does not exist at %s: `tempera dev up` creates it, or set S3_BUCKET", ErrStore, s.Bucket, s.Endpoint)
	}
	return nil
}

// explain turns the store's error into one line that says what to do.
func (s S3) explain(err error) error {
	reason := strings.ReplaceAll(err.Error(), "\n", "; ")
	switch r := minio.ToErrorResponse(err); r.Code {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return fmt.Errorf("%w: %s does not accept the credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (%s)", ErrStore, s.Endpoint, r.Code)
	case "AccessDenied":
		return fmt.Errorf("%w: no permission for bucket %q at %s: its policy must allow listing, reading and writing", ErrStore, s.Bucket, s.Endpoint)
	case "XMinioStorageFull":
		return fmt.Errorf("%w: the disk of %s is full", ErrDiskFull, s.Endpoint)
	}
	return fmt.Errorf("%w: %s: %s: check S3_ENDPOINT, or start it with `tempera dev up`", ErrStore, s.Endpoint, reason)
}
