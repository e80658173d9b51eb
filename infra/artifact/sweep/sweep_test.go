package sweep_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/infra/artifact/sweep"
)

// world is a store with one of everything.
type world struct {
	*mem.Store
	t *testing.T
}

func (w world) blob(text string) artifact.Ref {
	w.t.Helper()
	ref, err := artifact.PutBytes(w.t.Context(), w, []byte(text))
	require.NoError(w.t, err)
	return ref
}

func (w world) model(text string) artifact.Artifact {
	w.t.Helper()
	a, err := artifact.PutManifest(w.t.Context(), w, &artifact.Manifest{
		Type: artifact.TypeModel, Files: []artifact.File{{Path: "model.safetensors", Ref: w.blob(text)}},
	})
	require.NoError(w.t, err)
	return a
}

func (w world) json(name string, v any) {
	w.t.Helper()
	require.NoError(w.t, artifact.WriteJSON(w.t.Context(), w, name, v))
}

func (w world) plan(o sweep.Options) *sweep.Plan {
	w.t.Helper()
	p, err := sweep.NewPlan(w.t.Context(), w, o)
	require.NoError(w.t, err)
	return p
}

func items(p *sweep.Plan) []string {
	var all []string
	for _, i := range p.Items {
		all = append(all, i.Name+": "+i.Why)
	}
	return all
}

func dead(refs ...artifact.Digest) []string {
	var all []string
	for _, d := range refs {
		all = append(all, artifact.BlobName(d)+": "+sweep.Unreferenced)
	}
	return all
}

func TestSweep(t *testing.T) {
	later := sweep.Options{Grace: time.Hour, Now: time.Now().Add(2 * time.Hour)}
	for _, c := range []struct {
		name string
		opts sweep.Options
		make func(w world) (want []string)
	}{
		{"what roots refer to stays, through manifests, and orphans go", later, func(w world) []string {
			w.json("runs/p/r/run.json", map[string]any{"stages": []any{map[string]any{"outputs": map[string]any{"model": w.model("of a run")}}}})
			w.json(artifact.CommitName("train-1"), map[string]any{"outputs": map[string]any{"model": w.model("of a commit")}})
			w.json("models/m/v1/version.json", w.model("of a version"))
			w.json("datasets/d/v1/version.json", w.blob("of a data set"))
			w.json(artifact.AliasName("m"), map[string]any{"champion": w.model("of an alias")})
			w.json(artifact.CheckpointPrefix("train-2")+"newest.json", w.blob("of a checkpoint"))
			orphan := w.model("orphan")
			return dead(orphan.Digest, artifact.DigestOf([]byte("orphan")))
		}},
		{"nothing younger than the grace period goes", sweep.Options{Grace: 3 * time.Hour, Now: time.Now().Add(2 * time.Hour)}, func(w world) []string {
			w.blob("orphan")
			return nil
		}},
		{"checkpoints go when their stage has committed, or their shard has", later, func(w world) []string {
			w.json(artifact.CommitName("train-1"), map[string]any{})
			w.json(artifact.CommitName("map-1/3"), map[string]any{})
			for _, key := range []string{"train-1", "train-1/sub", "train-2", "map-1/3", "map-1/33"} {
				require.NoError(w.t, w.Write(w.t.Context(), artifact.CheckpointPrefix(key)+"10.safetensors", strings.NewReader("x"), 1))
			}
			return []string{
				"checkpoints/map-1/3/10.safetensors: " + sweep.Committed,
				"checkpoints/train-1/10.safetensors: " + sweep.Committed,
				"checkpoints/train-1/sub/10.safetensors: " + sweep.Committed,
			}
		}},
		{"a commit that no run names goes after its age, with what only it holds", sweep.Options{Grace: time.Hour, CommitAge: time.Hour, Now: time.Now().Add(2 * time.Hour)}, func(w world) []string {
			kept, gone := w.model("kept"), w.blob("gone")
			w.json("runs/p/r/run.json", map[string]any{"key": "train-1"})
			w.json(artifact.CommitName("train-1"), kept)
			w.json(artifact.CommitName("train-2"), gone)
			return append(dead(gone.Digest), "stages/train-2.json: "+sweep.Expired)
		}},
		{"a reference to a blob that is gone is no fault", later, func(w world) []string {
			w.json("runs/p/r/run.json", artifact.DigestOf([]byte("gone")))
			return nil
		}},
		{"a blob that looks like JSON but is no manifest refers to nothing", later, func(w world) []string {
			orphan := w.blob("orphan")
			text := w.blob(fmt.Sprintf(`{"caption": %q}`, orphan.Digest))
			w.json("runs/p/r/run.json", text.Digest)
			return dead(orphan.Digest)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := world{mem.New(), t}
			want := c.make(w)
			p := w.plan(c.opts)
			require.ElementsMatch(t, want, items(p))
			require.Equal(t, len(want), p.Objects)
			done, err := p.Execute(t.Context(), w)
			require.NoError(t, err)
			require.Equal(t, items(p), items(done))
			require.Equal(t, p.Bytes, done.Bytes)
			require.Empty(t, w.plan(c.opts).Items, "nothing is left to do")
		})
	}
}

func TestADamagedRootKeepsEveryBlob(t *testing.T) {
	w := world{mem.New(), t}
	orphan := w.blob("orphan")
	require.NoError(t, w.Write(t.Context(), "runs/p/r/run.json", strings.NewReader(`{"half`), -1))
	p := w.plan(sweep.Options{Grace: time.Nanosecond, Now: time.Now().Add(time.Hour)})
	require.Empty(t, p.Items)
	_, err := p.Execute(t.Context(), w)
	require.ErrorIs(t, err, sweep.ErrDamaged)
	require.ErrorContains(t, err, "runs/p/r/run.json")
	_, err = w.Stat(t.Context(), orphan.Digest)
	require.NoError(t, err)
}

func TestExecuteKeepsWhatIsReferredToSinceThePlan(t *testing.T) {
	w := world{mem.New(), t}
	model := w.model("late")
	orphan := w.blob("orphan")
	p := w.plan(sweep.Options{Grace: time.Nanosecond})
	require.Equal(t, 3, p.Objects)
	w.json(artifact.CommitName("train-1"), model)
	done, err := p.Execute(t.Context(), w)
	require.NoError(t, err)
	require.Equal(t, dead(orphan.Digest), items(done))
	_, err = artifact.LoadManifest(t.Context(), w, model)
	require.NoError(t, err)
}

func TestOptions(t *testing.T) {
	_, err := sweep.NewPlan(t.Context(), mem.New(), sweep.Options{Grace: -1})
	require.ErrorContains(t, err, "negative")
	w := world{mem.New(), t}
	w.blob("young")
	require.Empty(t, w.plan(sweep.Options{}).Items, "the default grace period holds")
}
