package minio

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	s3 "github.com/minio/minio-go/v7"

	"tempera/infra/artifact"
)

const (
	adviceEndpoint    = "check S3_ENDPOINT and that the server is up"
	adviceCredentials = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
	advicePermission  = "the policy of this access key must allow s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject on its objects"
	adviceBucket      = "create it, or set S3_BUCKET"
	adviceFull        = "free space, or sweep artifacts that nothing refers to"
	adviceClock       = "the clocks of this machine and the server differ: set them"
)

// response returns the server's answer; ok is false where there was none.
func response(err error) (r s3.ErrorResponse, ok bool) {
	ok = errors.As(err, &r)
	return r, ok
}

func code(err error) string {
	r, _ := response(err)
	return r.Code
}

// precondition reports that a conditional write found another state.
func precondition(err error) bool {
	r, ok := response(err)
	return ok && (r.Code == "PreconditionFailed" || r.StatusCode == http.StatusPreconditionFailed)
}

// classes maps the server's codes to the errors callers branch on.
var classes = map[string]struct {
	class  error
	advice string
}{
	"NoSuchKey":                      {artifact.ErrNotFound, ""},
	"NoSuchBucket":                   {artifact.ErrNoBucket, adviceBucket},
	"InvalidBucketName":              {artifact.ErrNoBucket, adviceBucket},
	"AccessDenied":                   {artifact.ErrPermission, advicePermission},
	"AllAccessDisabled":              {artifact.ErrPermission, advicePermission},
	"InvalidAccessKeyId":             {artifact.ErrCredentials, adviceCredentials},
	"SignatureDoesNotMatch":          {artifact.ErrCredentials, adviceCredentials},
	"InvalidTokenId":                 {artifact.ErrCredentials, adviceCredentials},
	"InvalidToken":                   {artifact.ErrCredentials, adviceCredentials},
	"ExpiredToken":                   {artifact.ErrCredentials, adviceCredentials},
	"AuthorizationHeaderMalformed":   {artifact.ErrCredentials, "check AWS_REGION"},
	"RequestTimeTooSkewed":           {artifact.ErrCredentials, adviceClock},
	"XMinioStorageFull":              {artifact.ErrFull, adviceFull},
	"XMinioAdminBucketQuotaExceeded": {artifact.ErrFull, adviceFull},
	"QuotaExceeded":                  {artifact.ErrFull, adviceFull},
	"EntityTooLarge":                 {artifact.ErrFull, "the object is larger than the server takes"},
	"XMinioContentSHA256Mismatch":    {artifact.ErrTransient, "the bytes changed on their way"},
	"XAmzContentSHA256Mismatch":      {artifact.ErrTransient, "the bytes changed on their way"},
	"XAmzContentChecksumMismatch":    {artifact.ErrTransient, "the bytes changed on their way"},
	"BadDigest":                      {artifact.ErrTransient, "the bytes changed on their way"},
	"ConditionalRequestConflict":     {artifact.ErrTransient, ""},
	"OperationAborted":               {artifact.ErrTransient, ""},
	"NoSuchUpload":                   {artifact.ErrTransient, ""}, // the server lost a multipart upload
	"RequestTimeout":                 {artifact.ErrTransient, ""},
	"IncompleteBody":                 {artifact.ErrTransient, ""},
	"XMinioServerNotInitialized":     {artifact.ErrTransient, ""},
	"XMinioObjectExistsAsDirectory":  {artifact.ErrExists, "a folder has this name"},
	"XMinioParentIsObject":           {artifact.ErrExists, "a part of the path is an object"},
	s3.UnexpectedEOF:                 {artifact.ErrTransient, ""},
	"XMinioInvalidObjectName":        {errName, ""},
	"KeyTooLongError":                {errName, ""},
	"XMinioObjectNameTooLong":        {errName, ""},
	"MethodNotAllowed":               {errProtocol, adviceEndpoint},
	"NotImplemented":                 {errProtocol, "the server lacks conditional writes or checksums: use MinIO, or S3 itself"},
}

var (
	errName     = errors.New("the server does not take this name")
	errProtocol = errors.New("the server does not speak S3 as needed")
)

// transient reports whether the same call may succeed a moment later.
func transient(err error) bool {
	if r, ok := response(err); ok {
		if c, known := classes[r.Code]; known {
			return errors.Is(c.class, artifact.ErrTransient)
		}
		return r.StatusCode >= 500 && r.StatusCode != http.StatusNotImplemented && r.StatusCode != http.StatusInsufficientStorage ||
			r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusRequestTimeout
	}
	if notTransient(err) {
		return false
	}
	var network net.Error
	var request *url.Error
	return errors.As(err, &network) || errors.As(err, &request) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// notTransient reports network errors that stay until somebody changes the
// configuration.
func notTransient(err error) bool {
	var (
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		certificate x509.CertificateInvalidError
		record      tls.RecordHeaderError
	)
	var source *sourceError
	return errors.As(err, &source) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &certificate) || errors.As(err, &record) ||
		strings.Contains(err.Error(), encrypted) || foreign(err)
}

// What net/http says, without a type, of a server that wants no encryption and
// of one that is no web server at all.
const (
	encrypted = "server gave HTTP response to HTTPS client"
	noHTTP    = "malformed HTTP response"
	// unasked is what net/http says where the other side spoke first, as a gRPC
	// server does, and the request had not been written yet.
	unasked = "readLoopPeekFailLocked: %!w(<nil>)"
)

// sourceError is a fault of what is being stored, not of the store.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// foreign tells whether what answered does not speak HTTP.
func foreign(err error) bool {
	return strings.Contains(err.Error(), noHTTP) || strings.Contains(err.Error(), unasked)
}

// explain turns a fault that stays into one line that says what to do.
func (s *Store) explain(op string, err error) error {
	if r, ok := response(err); ok {
		c, known := classes[r.Code]
		switch {
		case !known && r.StatusCode == http.StatusForbidden:
			c.class, c.advice = artifact.ErrPermission, advicePermission
		case !known && r.StatusCode == http.StatusNotFound:
			c.class = artifact.ErrNotFound
		case !known && r.StatusCode == http.StatusInsufficientStorage:
			c.class, c.advice = artifact.ErrFull, adviceFull
		case !known:
			return fmt.Errorf("%s in %s: %s (%s)", op, s.where(), oneLine(err), r.Code)
		}
		line := fmt.Errorf("%s in %s: %w", op, s.where(), c.class)
		if c.advice != "" {
			line = fmt.Errorf("%w (%s): %s", line, r.Code, c.advice)
		}
		return line
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, artifact.ErrExists), errors.Is(err, artifact.ErrConflict), errors.Is(err, artifact.ErrFull):
		return fmt.Errorf("%s: %w", op, err)
	case foreign(err):
		return fmt.Errorf("%s in %s: %w: what answers there is no object store: %s", op, s.where(), errProtocol, adviceEndpoint)
	case strings.Contains(err.Error(), encrypted):
		return fmt.Errorf("%s in %s: %w: it answers without encryption: write http:// in S3_ENDPOINT", op, s.where(), errProtocol)
	}
	return fmt.Errorf("%s in %s: %w", op, s.where(), cause(err))
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// cause drops the request's URL, whose query says nothing to a person.
func cause(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}
