package bench

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func TestAttentionIsMeasured(t *testing.T) {
	o := AttentionDefaults()
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	o.Bind(f)
	require.NoError(t, f.Parse([]string{"--batch=2", "--heads=4", "--kv-heads=2", "--tokens=40", "--width=8", "--causal", "--backward", "--threads=1", "--repeats=2"}))
	r, err := Attention(context.Background(), o)
	require.NoError(t, err)
	require.Equal(t, 2, r.KVHeads)
	require.Positive(t, r.ForwardGFLOPS)
	require.Positive(t, r.BackwardGFLOPS)
	raw, err := json.Marshal(r)
	require.NoError(t, err)
	for _, key := range []string{"peer", "batch", "heads", "kv_heads", "tokens", "width", "causal", "threads", "forward_ms", "forward_gflops", "backward_ms", "backward_gflops", "device"} {
		require.Contains(t, string(raw), `"`+key+`":`)
	}
}

func TestWrongOptionsOfAttentionAreNamed(t *testing.T) {
	_, err := Attention(context.Background(), AttentionOptions{Heads: 4, KVHeads: 3, Cores: Cores{Threads: -1}})
	for _, part := range []string{"batch is 0", "tokens is 0", "width is 0", "repeats is 0", "kv-heads is 3", "threads is -1"} {
		require.ErrorContains(t, err, part)
	}
	_, err = Attention(context.Background(), AttentionOptions{Batch: 1, Heads: 1, Tokens: 1, Width: 1, Repeats: 1, KVHeads: 2})
	require.ErrorContains(t, err, "kv-heads is 2")
}
