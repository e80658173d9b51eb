package mem_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/infra/artifact/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Suite{
		Open: func(*testing.T) artifact.Store { return mem.New() },
		Corrupt: func(t *testing.T, s artifact.Store, d artifact.Digest, data []byte) {
			require.NoError(t, s.Write(t.Context(), artifact.BlobName(d), strings.NewReader(string(data)), -1))
		},
	})
}
