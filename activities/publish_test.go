package activities

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/infra/artifact/sweep"
	"tempera/training/score"
	"tempera/workflows/stage"
)

// newsroom publishes what it makes up.
type newsroom struct {
	t     *testing.T
	store artifact.Store
}

func (n newsroom) put(typ string, files map[string]string) artifact.Artifact {
	n.t.Helper()
	m := &artifact.Manifest{Type: typ}
	for _, path := range sortedKeys(files) {
		ref, err := artifact.PutBytes(n.t.Context(), n.store, []byte(files[path]))
		require.NoError(n.t, err)
		m.Files = append(m.Files, artifact.File{Path: path, Ref: ref})
	}
	a, err := artifact.PutManifest(n.t.Context(), n.store, m)
	require.NoError(n.t, err)
	return a
}

func (n newsroom) model(weights string) artifact.Artifact {
	return n.put(artifact.TypeModel, map[string]string{
		weightsFile: weights, configFile: `{"kind":"clip","width":8}`, tokenizerFile: `{}`,
		cardFile: "---\nlibrary_name: tempera\n---\n\n# pretrain\n\nTrained.\n\nStage key: `pretrain-0123456789012345678901234567890123456789`\n",
	})
}

func (n newsroom) evaluation(of artifact.Artifact, r1 float64, gallery string) artifact.Artifact {
	data, err := artifact.EncodeJSON(Evaluation{
		Metrics: map[string]score.Interval{"r1": {Mean: r1, Low: r1 - 1, High: r1 + 1, N: 10}}, Gallery: 12, Pairs: 24,
		Model: of.Digest, Data: artifact.DigestOf([]byte(gallery)),
	})
	require.NoError(n.t, err)
	return n.put(artifact.TypeEvaluation, map[string]string{evaluationFile: string(data)})
}

// publish runs the kind as run does, and returns its metrics.
func (n newsroom) publish(run, params string, inputs map[string]artifact.Artifact) (map[string]float64, error) {
	n.t.Helper()
	resolved, err := publishKind().Check([]byte(params))
	require.NoError(n.t, err)
	q := stage.Request{Pipeline: "news", Run: run, Stage: "publish", Params: resolved, Inputs: map[string][]artifact.Artifact{}}
	for port, a := range inputs {
		q.Inputs[port] = []artifact.Artifact{a}
	}
	task := &Task{Request: q, Store: n.store, Log: slog.New(slog.DiscardHandler), Progress: func(Progress) {}, Result: &stage.Result{}}
	err = publishKind().Run(n.t.Context(), task)
	return task.Result.Metrics, err
}

func (n newsroom) names(prefix string) (names []string) {
	for name, err := range n.store.List(n.t.Context(), prefix) {
		require.NoError(n.t, err)
		names = append(names, strings.TrimPrefix(name.Name, prefix))
	}
	return names
}

func (n newsroom) text(name string) string {
	n.t.Helper()
	r, _, err := n.store.Read(n.t.Context(), name)
	require.NoError(n.t, err)
	data, err := io.ReadAll(r)
	require.NoError(n.t, errors.Join(err, r.Close()))
	return string(data)
}

func (n newsroom) champion() artifact.Alias {
	n.t.Helper()
	a, err := artifact.ReadAlias(n.t.Context(), n.store, "news", artifact.Champion)
	require.NoError(n.t, err)
	return a
}

func TestAModelIsPublishedWithItsCardAndAlias(t *testing.T) {
	n := newsroom{t, mem.New()}
	m := n.model("weights")
	folder := "models/news/" + m.Digest.Short() + "/"
	in := map[string]artifact.Artifact{"model": m, "evaluation": n.evaluation(m, 52.8, "g")}
	metrics, err := n.publish("first", `{"license": "apache-2.0"}`, in)
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"promoted": 1}, metrics)
	require.Equal(t, []string{"README.md", "config.json", "model.safetensors", "tokenizer.json", "version.json"}, n.names(folder))
	require.Equal(t, "weights", n.text(folder+weightsFile))

	card := n.text(folder + cardFile)
	head, body, ok := strings.Cut(strings.TrimPrefix(card, "---\n"), "\n---\n")
	require.True(t, ok)
	var meta struct {
		License string           `yaml:"license"`
		Tags    []string         `yaml:"tags"`
		Task    string           `yaml:"pipeline_tag"`
		Index   []map[string]any `yaml:"model-index"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(head), &meta))
	require.Equal(t, "apache-2.0", meta.License)
	require.Equal(t, []string{"vision-language", "clip"}, meta.Tags)
	require.Equal(t, "zero-shot-image-classification", meta.Task)
	require.Equal(t, "news", meta.Index[0]["name"])
	require.Contains(t, head, `name: "recall@1 (95 % interval 51.80 to 53.80)"`)
	for _, want := range []string{"| recall@1 | 52.80 | 51.80 to 53.80 |", "Trained.", "run `first` (pipeline `news`)", string(m.Digest)} {
		require.Contains(t, body, want)
	}
	require.Equal(t, 1, strings.Count(card, "Stage key:"), "the artifact's own card is in it, without its head")

	before := map[string]string{}
	for _, name := range n.names(folder) {
		before[name] = n.text(folder + name)
	}
	// Another run has nothing to add, and brings back what somebody removed.
	for _, name := range []string{weightsFile, cardFile} {
		require.NoError(t, n.store.Remove(t.Context(), folder+name))
	}
	_, err = n.publish("second", `{}`, in)
	require.NoError(t, err)
	for name, text := range before {
		require.Equal(t, text, n.text(folder+name), name)
	}
	alias, err := artifact.ReadAlias(t.Context(), n.store, "news", artifact.Candidate)
	require.NoError(t, err)
	require.Equal(t, m.Digest.Short(), alias.Version)
	require.Equal(t, "first", alias.Evidence.Run)
}

// dying is a store that takes some writes and then no more.
type dying struct {
	artifact.Store
	left atomic.Int64
}

var errDead = errors.New("killed")

func (d *dying) write(do func() error) error {
	if d.left.Add(-1) < 0 {
		return errDead
	}
	return do()
}

func (d *dying) Create(ctx context.Context, name string, data []byte) error {
	return d.write(func() error { return d.Store.Create(ctx, name, data) })
}

func (d *dying) Write(ctx context.Context, name string, r io.Reader, size int64) error {
	return d.write(func() error { return d.Store.Write(ctx, name, r, size) })
}

func (d *dying) Swap(ctx context.Context, name string, data []byte, etag string) error {
	return d.write(func() error { return d.Store.Swap(ctx, name, data, etag) })
}

var moment = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?`)

func TestAKilledPublisherLeavesNothingThatLooksWholeAndTheNextFinishes(t *testing.T) {
	const writes = 7 // claim, three files, card, completion, alias
	var undisturbed map[string]string
	for kill := writes; kill >= 0; kill-- {
		n := newsroom{t, mem.New()}
		in := map[string]artifact.Artifact{"model": n.model("weights")}
		d := &dying{Store: n.store}
		d.left.Store(int64(kill))
		_, err := newsroom{t, d}.publish("run", `{}`, in)
		require.Equal(t, kill < writes, errors.Is(err, errDead), "%d writes: %v", kill, err)

		ref := artifact.PublishedRef{Type: artifact.TypeModel, Name: "news", At: in["model"].Digest.Short()}
		_, err = artifact.FindVersion(t.Context(), n.store, ref)
		require.Equal(t, kill < writes-1, errors.Is(err, artifact.ErrNotFound), "%d writes: %v", kill, err)
		_, err = n.publish("run", `{}`, in)
		require.NoError(t, err)

		now := map[string]string{}
		for _, prefix := range []string{"models/", "aliases/"} {
			for _, name := range n.names(prefix) { // the moment of the claim is all that differs
				now[prefix+name] = moment.ReplaceAllString(n.text(prefix+name), "THEN")
			}
		}
		if undisturbed == nil {
			undisturbed = now
		}
		require.Len(t, now, 6)
		require.Equal(t, undisturbed, now, "killed after %d writes", kill)
	}
}

func TestTheChampionGivesWayToTheBetterOnly(t *testing.T) {
	n := newsroom{t, mem.New()}
	try := func(run, weights string, r1 float64, gallery string) float64 {
		m := n.model(weights)
		metrics, err := n.publish(run, `{"alias": "champion", "metric": "r1", "margin": 0.5}`, map[string]artifact.Artifact{"model": m, "evaluation": n.evaluation(m, r1, gallery)})
		require.NoError(t, err)
		return metrics["promoted"]
	}
	require.Equal(t, 1.0, try("a", "a", 50, "g"), "the first")
	require.Equal(t, 0.0, try("b", "b", 50.4, "g"), "not by the margin")
	require.Equal(t, "a", n.champion().Evidence.Run)
	require.Equal(t, 1.0, try("c", "c", 50.5, "g"))
	require.Equal(t, "r1 50.5 against 50 of "+n.model("a").Digest.Short(), n.champion().Evidence.Reason)
	require.Equal(t, 1.0, try("c again", "c", 50.5, "g"), "it stands for the version already")
	require.Equal(t, "c", n.champion().Evidence.Run)
	require.Equal(t, 0.0, try("d", "d", 99, "other"), "on other pairs it says nothing")

	// A champion that somebody put there between the look and the move is looked at.
	racing := &racing{Store: n.store, move: func() { require.Equal(t, 1.0, try("f", "f", 70, "g")) }}
	m := n.model("e")
	metrics, err := newsroom{t, racing}.publish("e", `{"alias": "champion", "metric": "r1"}`, map[string]artifact.Artifact{"model": m, "evaluation": n.evaluation(m, 60, "g")})
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"promoted": 0, "champion_r1": 70}, metrics)
	require.Equal(t, "f", n.champion().Evidence.Run)
}

// racing moves the champion just before it is swapped for the first time.
type racing struct {
	artifact.Store
	move func()
}

func (r *racing) Swap(ctx context.Context, name string, data []byte, etag string) error {
	if move := r.move; move != nil && strings.HasPrefix(name, "aliases/") {
		r.move = nil
		move()
	}
	return r.Store.Swap(ctx, name, data, etag)
}

func TestWhatCannotBePublishedSaysWhatToDo(t *testing.T) {
	n := newsroom{t, mem.New()}
	m, other := n.model("a"), n.model("b")
	_, err := n.publish("r", `{"version": "v1"}`, map[string]artifact.Artifact{"model": m})
	require.NoError(t, err)
	for _, c := range []struct {
		name, params, want string
		in                 map[string]artifact.Artifact
	}{
		{"nothing", `{}`, "give input model, dataset or both", nil},
		{"a version of other bytes", `{"version": "v1"}`, "models/news/v1 already exists and holds " + m.Digest.Short(), map[string]artifact.Artifact{"model": other}},
		{"an evaluation of another model", `{}`, "the evaluation is of model " + other.Digest.Short(), map[string]artifact.Artifact{"model": m, "evaluation": n.evaluation(other, 1, "g")}},
		{"an evaluation alone", `{}`, "an evaluation without its model", map[string]artifact.Artifact{"dataset": m, "evaluation": n.evaluation(other, 1, "g")}},
		{"a metric without an evaluation", `{"metric": "r1"}`, "there is no evaluation", map[string]artifact.Artifact{"model": m}},
		{"a metric that was not measured", `{"metric": "r2"}`, `no metric "r2": it has r1`, map[string]artifact.Artifact{"model": m, "evaluation": n.evaluation(m, 1, "g")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := n.publish("r", c.params, c.in)
			require.ErrorContains(t, err, c.want)
			var final *permanent
			require.ErrorAs(t, err, &final, "it is not tried again")
		})
	}
	require.Equal(t, "a", n.text("models/news/v1/"+weightsFile))
	for params, want := range map[string]string{
		`{"name": "a/b"}`: "name: ", `{"version": "champion"}`: "which is an alias", `{"alias": "none", "metric": "r1"}`: "no alias is moved", `{"alias": "best"}`: "alias",
	} {
		_, err := publishKind().Check([]byte(params))
		require.ErrorContains(t, err, want)
	}
}

func TestADataSetIsPublishedWithRelativePaths(t *testing.T) {
	n := newsroom{t, mem.New()}
	scenes, _ := dataset(t, n.store, ingest(), `{"count":30,"shard_records":20}`)
	merged := mustMerge(t, n.store, scenes, scenes)
	_, err := n.publish("r", `{"name": "pairs"}`, map[string]artifact.Artifact{"dataset": merged})
	require.NoError(t, err)
	folder := "datasets/pairs/" + merged.Digest.Short() + "/"
	require.Equal(t, []string{"README.md", "croissant.json", "merged-000000.tar", "version.json"}, n.names(folder))
	require.Empty(t, n.names("aliases/"), "aliases are of models")
	card := n.text(folder + "README.md")
	require.Contains(t, card, `pretty_name: "pairs"`)
	require.Contains(t, card, `data_files: "merged-*.tar"`)
	require.Contains(t, card, "run `r`")
	var croissant struct {
		Name         string `json:"name"`
		Published    string `json:"datePublished"`
		Distribution []struct {
			ContentURL string `json:"contentUrl"`
		} `json:"distribution"`
	}
	require.NoError(t, json.Unmarshal([]byte(n.text(folder+"croissant.json")), &croissant))
	require.Equal(t, "pairs", croissant.Name)
	require.NotEmpty(t, croissant.Published)
	require.Equal(t, "merged-000000.tar", croissant.Distribution[0].ContentURL)
}

func TestTheSweepKeepsWhatIsPublished(t *testing.T) {
	n := newsroom{t, mem.New()}
	m := n.model("weights")
	_, err := n.publish("r", `{"alias": "none"}`, map[string]artifact.Artifact{"model": m})
	require.NoError(t, err)
	plan := func() *sweep.Plan {
		p, err := sweep.NewPlan(t.Context(), n.store, sweep.Options{Grace: time.Hour, Now: time.Now().Add(2 * time.Hour)})
		require.NoError(t, err)
		require.Empty(t, p.Damaged)
		return p
	}
	require.Empty(t, plan().Items)
	for _, name := range n.names("models/") {
		require.NoError(t, n.store.Remove(t.Context(), "models/"+name))
	}
	require.Equal(t, 5, plan().Objects, "four files and the manifest")
}
