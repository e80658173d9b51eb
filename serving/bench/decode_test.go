package bench

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func TestDecodingIsMeasured(t *testing.T) {
	o := Defaults()
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	o.Bind(f)
	require.NoError(t, f.Parse([]string{"--layers=1", "--dim=32", "--heads=4", "--kv-heads=2", "--ff=64", "--vocab=20", "--batch=3", "--prompt=4", "--new=8", "--threads=1", "--repeat=1"}))
	r, err := Decode(context.Background(), o)
	require.NoError(t, err)
	require.Positive(t, r.TokensPerS)
	require.Positive(t, r.Params)
	raw, err := json.Marshal(r)
	require.NoError(t, err)
	for _, key := range []string{"peer", "batch", "threads", "tokens_per_s"} {
		require.Contains(t, string(raw), `"`+key+`":`)
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	o := Defaults()
	o.Batch, o.Threads, o.KVHeads = 0, -1, 3
	_, err := Decode(context.Background(), o)
	for _, part := range []string{"batch 0", "threads is -1", "kv_heads"} {
		require.ErrorContains(t, err, part)
	}
}
