package artifact_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
)

const sum = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // SHA-256 of "test", from coreutils

func TestDigests(t *testing.T) {
	d := artifact.DigestOf([]byte("test"))
	require.Equal(t, artifact.Digest("sha256:"+sum), d)
	require.Equal(t, "9f86d081884c", d.Short())
	require.Equal(t, "cas/sha256/9f/"+sum, artifact.BlobName(d))
	for _, bad := range []string{"", sum, "sha256:" + sum[1:], "sha256:" + strings.ToUpper(sum), "sha1:" + sum} {
		_, err := artifact.ParseDigest(bad)
		require.Error(t, err, "%q", bad)
	}
	for _, other := range []string{"cas/sha256/00/" + sum, "stages/" + sum, sum, "cas/sha256/9f/" + sum + ".tmp"} {
		_, ok := artifact.BlobDigest(other)
		require.False(t, ok, "%q", other)
	}
}

func TestVerifyFailsInsteadOfEnding(t *testing.T) {
	d := artifact.DigestOf([]byte("test"))
	data, err := io.ReadAll(artifact.Verify(io.NopCloser(strings.NewReader("test")), d))
	require.NoError(t, err)
	require.Equal(t, "test", string(data))
	for _, wrong := range []string{"", "tes", "test ", "Test"} {
		r := artifact.Verify(io.NopCloser(strings.NewReader(wrong)), d)
		_, err := io.ReadAll(r)
		require.ErrorIs(t, err, artifact.ErrDigest)
		_, err = r.Read(make([]byte, 1))
		require.ErrorIs(t, err, artifact.ErrDigest, "the fault stays")
	}
}

func TestManifestsEncodeToTheSameBytes(t *testing.T) {
	m := artifact.Manifest{Type: "dataset", Files: []artifact.File{{
		Path: "000000.tar", Ref: artifact.Ref{Digest: artifact.DigestOf([]byte("test")), Size: 4}, Records: 2,
	}}, Meta: []byte(`{"images":2}`)}
	data, err := m.Encode()
	require.NoError(t, err)
	require.Equal(t, `{"type":"dataset","files":[{"path":"000000.tar","digest":"sha256:`+sum+`","size":4,"records":2}],"meta":{"images":2}}`, string(data))
	back, err := artifact.DecodeManifest(data)
	require.NoError(t, err)
	require.Equal(t, &m, back)
	_, err = m.Find("card.md")
	require.ErrorContains(t, err, `no file "card.md" (it has 000000.tar)`)
}

func TestPermanentErrorsAreThoseThatARepeatCannotHelp(t *testing.T) {
	for _, err := range []error{artifact.ErrNotFound, artifact.ErrDigest, artifact.ErrPermission, artifact.ErrNoBucket, artifact.ErrCredentials} {
		require.True(t, artifact.Permanent(fmt.Errorf("open: %w", err)))
	}
	for _, err := range []error{artifact.ErrTransient, artifact.ErrFull, artifact.ErrConflict, io.ErrUnexpectedEOF} {
		require.False(t, artifact.Permanent(fmt.Errorf("open: %w", err)))
	}
}
