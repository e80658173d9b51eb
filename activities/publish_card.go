package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tempera/datagen/shard"
	"tempera/infra/artifact"
	"tempera/training/model"
)

// describeVersion writes the texts of a version's folder: of a model its card,
// of a data set card and Croissant metadata. They depend on the record and on
// what is immutable only.
func describeVersion(ctx context.Context, t *Task, v artifact.Version, m *artifact.Manifest) ([]text, error) {
	if m.Type == artifact.TypeDataset {
		return describeDataset(v, m)
	}
	card, err := newVersionCard(ctx, t, v, m)
	if err != nil {
		return nil, err
	}
	return []text{{cardFile, []byte(card.render())}}, nil
}

func describeDataset(v artifact.Version, m *artifact.Manifest) ([]text, error) {
	var meta shard.Meta
	if len(m.Meta) == 0 {
		return nil, nil // not of a kind that describes its data: the files are published as they are
	}
	if err := json.Unmarshal(m.Meta, &meta); err != nil {
		return nil, Invalid(fmt.Errorf("facts of data set %s: %w", v.Artifact.Digest.Short(), err))
	}
	meta.Card.PublishedAs, meta.Card.Published = v.Name, v.Published.Format(time.DateOnly)
	shards := slices.DeleteFunc(slices.Clone(m.Files), func(f artifact.File) bool { return !strings.HasSuffix(f.Path, ".tar") })
	files, err := meta.Describe(shards)
	if err != nil {
		return nil, err
	}
	var texts []text
	for _, f := range files {
		if f.Path == shard.CardFile {
			f.Text += "\n" + publication(v)
		}
		texts = append(texts, text{f.Path, []byte(f.Text)})
	}
	return texts, nil
}

// publication is the section of a card that says which version it is of.
func publication(v artifact.Version) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Version\n\nVersion `%s` of %s `%s`, published %s", v.Version, v.Artifact.Type, v.Name, v.Published.Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&b, " by stage `%s` of run `%s` (pipeline `%s`).\n", v.By.Stage, v.By.Run, v.By.Pipeline)
	fmt.Fprintf(&b, "Artifact: `%s@%s`\n", v.Artifact.Type, v.Artifact.Digest)
	return b.String()
}

// origin is the stage that made a model, and what that took in.
type origin struct {
	artifact.Origin
	commit Commit
}

var stageKeyLine = regexp.MustCompile("(?m)^Stage key: `([a-z][a-z0-9_]*-[0-9a-f]{40})`$")

// modelOrigin finds the stage that made a model by the key in its card; nil
// where the card has none.
func modelOrigin(ctx context.Context, s artifact.Store, a artifact.Artifact) (*origin, error) {
	m, err := artifact.LoadManifest(ctx, s, a)
	if err != nil {
		return nil, err
	}
	card, err := ownCard(ctx, s, m)
	found := stageKeyLine.FindStringSubmatch(card)
	if err != nil || found == nil {
		return nil, err
	}
	o := &origin{Origin: artifact.Origin{Key: found[1]}}
	c, known, err := readCommit(ctx, s, o.Key)
	if known {
		o.Pipeline, o.Run, o.Stage, o.commit = c.Pipeline, c.Run, c.Stage, c
	}
	return o, err
}

// ownCard is the card that the artifact itself holds; "" where it has none.
func ownCard(ctx context.Context, s artifact.Blobs, m *artifact.Manifest) (string, error) {
	const limit = 1 << 20
	f, err := m.Find(cardFile)
	if err != nil {
		return "", nil //nolint:nilerror // a model of another maker may have no card
	}
	data, err := artifact.ReadAll(ctx, s, f.Digest, limit)
	return string(data), err
}

// versionCard is the model card of a published version.
type versionCard struct {
	version    artifact.Version
	kind       model.Kind
	config     model.Config
	ownLayout  error  // why the files are not in the layout of transformers; nil: they are
	own        string // the artifact's card, which says how it was trained
	evaluation *Evaluation
	gaps       []Gap
	data       []shard.Meta // what it was trained on
	lineage    []origin     // the model it was trained from, and so on back
}

func newVersionCard(ctx context.Context, t *Task, v artifact.Version, m *artifact.Manifest) (*versionCard, error) {
	c := &versionCard{version: v}
	var err error
	if c.own, err = ownCard(ctx, t.Store, m); err != nil {
		return nil, err
	}
	var config model.Config
	if _, err := m.Find(configFile); err == nil {
		if err := readJSONFile(ctx, t.Store, v.Artifact, jsonFile{configFile, &config}); err != nil {
			return nil, err
		}
	}
	c.kind, c.config = config.Kind, config
	if c.ownLayout, err = ownLayout(ctx, t.Store, m); err != nil {
		return nil, err
	}
	if v.Evaluation != nil {
		e, err := loadEvaluation(ctx, t.Store, *v.Evaluation)
		if err != nil {
			return nil, err
		}
		c.evaluation = &e
	}
	if v.Comparison != nil {
		if err := readJSONFile(ctx, t.Store, *v.Comparison, jsonFile{comparisonFile, &c.gaps}); err != nil {
			return nil, err
		}
	}
	return c, c.trace(ctx, t.Store)
}

// trace follows the model back through the models that it was trained from, as
// far as their results are known, and notes the data of the last training.
func (c *versionCard) trace(ctx context.Context, s artifact.Store) error {
	const generations = 20
	for at := c.version.Artifact; len(c.lineage) < generations; {
		o, err := modelOrigin(ctx, s, at)
		if errors.Is(err, artifact.ErrNotFound) || err == nil && o == nil {
			return nil // swept, or made elsewhere
		}
		if err != nil {
			return err
		}
		c.lineage = append(c.lineage, *o)
		if len(c.lineage) == 1 {
			if err := c.trainedOn(ctx, s, o.commit.Inputs["data"]); err != nil {
				return err
			}
		}
		from := o.commit.Inputs["model"]
		if len(from) == 0 {
			return nil
		}
		at = from[0]
	}
	return nil
}

func (c *versionCard) trainedOn(ctx context.Context, s artifact.Blobs, data []artifact.Artifact) error {
	for _, a := range data {
		m, err := artifact.LoadManifest(ctx, s, a)
		if errors.Is(err, artifact.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var meta shard.Meta
		if json.Unmarshal(m.Meta, &meta) == nil { // a data set without facts has nothing to tell
			c.data = append(c.data, meta)
		}
	}
	return nil
}
