// Package minio keeps a store in a bucket of MinIO or of anything else that
// speaks S3 with conditional writes (If-None-Match, If-Match).
//
// Writes are whole objects, so a crash of either side shows an object or none.
// Start reading at Store; blobs.go and names.go are its two halves, retry.go
// and fault.go decide what is tried again and what a person is told.
package minio

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	s3 "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"tempera/infra/artifact"
)

// Options say where the bucket is. Zero fields take the defaults.
type Options struct {
	Endpoint     string // URL, e.g. http://127.0.0.1:9000
	AccessKey    string // "": the AWS credentials file, then the machine's role
	SecretKey    string
	SessionToken string
	Region       string        // us-east-1
	Bucket       string        // tempera
	Retry        Retry         // of transient faults
	PartSize     int64         // bytes; larger objects are uploaded in parts of this size; 16 MiB
	SpoolDir     string        // for what is put from readers that cannot seek; the system's temporary folder
	SpoolLimit   int64         // bytes of one spooled object; 64 GiB
	RefreshAfter time.Duration // a blob that is put again after this time is written anew, so that a sweep sees it in use; 12 h
	Transport    http.RoundTripper
}

// Validate returns every fault at once.
func (o Options) Validate() error {
	var faults []error
	u, err := url.Parse(o.Endpoint)
	switch {
	case o.Endpoint == "":
		faults = append(faults, errors.New("no endpoint: set S3_ENDPOINT, e.g. http://127.0.0.1:9000"))
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		faults = append(faults, fmt.Errorf("endpoint %q: want http://host:port or https://host:port in S3_ENDPOINT", o.Endpoint))
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		faults = append(faults, fmt.Errorf("endpoint %q: want no path, query or user; the bucket goes in S3_BUCKET", o.Endpoint))
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		faults = append(faults, errors.New("set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither"))
	}
	if o.PartSize != 0 && o.PartSize < 5<<20 {
		faults = append(faults, fmt.Errorf("part size %d: want at least 5 MiB", o.PartSize))
	}
	return errors.Join(faults...)
}

func (o Options) withDefaults() Options {
	set := func(s *string, standard string) {
		if *s == "" {
			*s = standard
		}
	}
	set(&o.Region, "us-east-1")
	set(&o.Bucket, "tempera")
	if o.PartSize == 0 {
		o.PartSize = 16 << 20
	}
	if o.SpoolLimit == 0 {
		o.SpoolLimit = 64 << 30
	}
	if o.RefreshAfter == 0 {
		o.RefreshAfter = 12 * time.Hour
	}
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	o.Retry = o.Retry.withDefaults()
	return o
}

// Store is an artifact.Store in a bucket. It may be used concurrently.
type Store struct {
	opts   Options
	client *s3.Core
}

// New connects to nothing yet; Check does.
func New(o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	o = o.withDefaults()
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	creds := credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken)
	if o.AccessKey == "" {
		creds = credentials.NewChainCredentials([]credentials.Provider{&credentials.FileAWSCredentials{}, &credentials.IAM{}})
	}
	client, err := s3.NewCore(u.Host, &s3.Options{
		Creds: creds, Secure: u.Scheme == "https", Region: o.Region, Transport: o.Transport,
		TrailingHeaders: true, // without them SHA-256 checksums are not sent
		MaxRetries:      1,    // retry.go does it
	})
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", o.Endpoint, err)
	}
	return &Store{opts: o, client: client}, nil
}

// Bucket returns the bucket's name.
func (s *Store) Bucket() string { return s.opts.Bucket }

// EnsureBucket creates the bucket where it is missing.
func (s *Store) EnsureBucket(ctx context.Context) error {
	return s.try(ctx, "create bucket", func(int) error {
		err := s.probe(ctx)
		if code(err) != "NoSuchBucket" {
			return err
		}
		err = s.client.MakeBucket(ctx, s.opts.Bucket, s3.MakeBucketOptions{Region: s.opts.Region})
		if code(err) == "BucketAlreadyOwnedByYou" {
			return nil
		}
		return err
	})
}

// probe lists one object: unlike a HEAD, its answer tells why it fails.
func (s *Store) probe(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for info := range s.client.ListObjectsIter(ctx, s.opts.Bucket, s3.ListObjectsOptions{MaxKeys: 1, Recursive: true}) {
		return info.Err
	}
	return ctx.Err()
}

// checkName is written by Check to learn whether it may.
const checkName = ".check"

// checkLimit bounds a check.
const checkLimit = 10 * time.Second

// Check tries once, for at most ten seconds, to list, write, read and remove in
// the bucket. Its error is one line that says what to change.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	if err := s.CheckList(ctx); err != nil {
		return err
	}
	once := s.once()
	name := checkName + "/" + rand.Text()
	if err := artifact.WriteJSON(ctx, once, name, "written by the store's check"); err != nil {
		return once.unreachable(err)
	}
	var text string
	if _, err := artifact.ReadJSON(ctx, once, name, &text); err != nil {
		return once.unreachable(err)
	}
	return once.Remove(ctx, name)
}

// CheckList is the part of Check for those who only read: it tries once to
// list.
func (s *Store) CheckList(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	once := s.once()
	return once.unreachable(once.try(ctx, "list", func(int) error { return once.probe(ctx) }))
}

// once is the store without retries.
func (s *Store) once() *Store {
	c := *s
	c.opts.Retry.Attempts = 1
	return &c
}

// unreachable names the endpoint where a check ran out of time.
func (s *Store) unreachable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("check %s: %w: no answer in 10 s; %s", s.where(), artifact.ErrTransient, adviceEndpoint)
	}
	return err
}

// where names the bucket in messages.
func (s *Store) where() string { return "bucket " + s.opts.Bucket + " at " + s.opts.Endpoint }
