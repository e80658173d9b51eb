package activities

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training"
)

func TestADrawIsWhatReinforcementAsks(t *testing.T) {
	l := &workshop{t, mem.New()}
	m := l.beginner(small)
	rows := [][]*example.Example{questions(1, 7), questions(2, 5)} // with equal names
	in := ports{"model": {m}, "problems": {l.examples(rows[0]...), l.examples(rows[1]...)}}
	order, err := training.NewOrder(12, 5, 3)
	require.NoError(t, err)
	all := append(rows[0], rows[1]...)
	for k := range 5 {
		out := l.output(execution{kind: draw(), inputs: in, params: fmt.Sprintf(`{"iteration": %d, "prompts": 5, "shards": 3, "seed": 3}`, k)}, "examples")
		files, err := shardsOf(t.Context(), l.store, rollout().Describe(), ports{"data": {out}})
		require.NoError(t, err)
		require.Len(t, files, 3)
		var asked []string
		names := map[string]bool{}
		for i, x := range l.rows(out) {
			asked = append(asked, x.Prompt.String())
			names[x.ID] = true
			require.Equal(t, all[order.Batch(int64(k))[i]].Prompt.String(), x.Prompt.String())
		}
		require.Len(t, asked, 5)
		require.Len(t, names, 5)
	}
	_, err = draw().Check([]byte(`{"prompts": 2, "shards": 3}`))
	require.ErrorContains(t, err, "shards is 3, more than the 2 prompts")
	_, err = l.run(execution{kind: draw(), inputs: in, params: `{"prompts": 13}`})
	require.ErrorContains(t, err, "12 rows does not fill a batch of 13")
	_, err = l.run(execution{kind: draw(), inputs: ports{"model": {m}, "problems": []artifact.Artifact{in["problems"][0]}}, params: `{"prompts": 1, "shards": 1, "max_tokens": 999}`})
	require.ErrorContains(t, err, "input problems has no row that can be used")
}
