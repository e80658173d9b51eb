package artifact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Version is version.json of a folder models/<name>/<version>/ or
// datasets/<name>/<version>/. It comes first, with Complete false, and claims
// the folder for one artifact; it is completed when every other file is there.
// Nothing of it changes otherwise, and every other file of the folder is a
// function of it: publishers that race, or that were killed, write the same
// bytes. A folder that has none, or one that is not complete, is not published.
type Version struct {
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	Complete   bool      `json:"complete"`
	Artifact   Artifact  `json:"artifact"`
	Published  time.Time `json:"published"`      // when the folder was claimed
	By         Origin    `json:"by"`             // the stage that claimed it
	Made       *Origin   `json:"made,omitempty"` // the stage that made the artifact, where that is known
	Evaluation *Artifact `json:"evaluation,omitempty"`
	Comparison *Artifact `json:"comparison,omitempty"`
	License    string    `json:"license,omitempty"`
}

// Origin is a stage of a run.
type Origin struct {
	Pipeline string `json:"pipeline,omitempty"`
	Run      string `json:"run,omitempty"`
	Stage    string `json:"stage,omitempty"`
	Key      string `json:"key,omitempty"`
}

// PublishedRef names a version in the form <type>:<name>@<version>, in which a
// model's alias may stand for its version: model:blip@champion.
type PublishedRef struct{ Type, Name, At string }

func (r PublishedRef) String() string { return r.Type + ":" + r.Name + "@" + r.At }

// versionFile is what Version is stored in.
const versionFile = "version.json"

// publishedFolders holds the top folder of every type that can be published.
var publishedFolders = map[string]string{TypeModel: "models", TypeDataset: "datasets"}

var publishedWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,94}$`)

// CheckPublished reports whether a name, a version or an alias can be a folder's
// or a part of a PublishedRef.
func CheckPublished(word string) error {
	if !publishedWord.MatchString(word) {
		return fmt.Errorf("%q cannot name what is published: use letters, digits, ., - and _, at most 95, beginning with a letter or digit", word)
	}
	return nil
}

// ParsePublished reads <type>:<name>@<version or alias>.
func ParsePublished(text string) (PublishedRef, error) {
	typ, rest, _ := strings.Cut(text, ":")
	name, at, ok := strings.Cut(rest, "@")
	if _, known := publishedFolders[typ]; !ok || !known {
		return PublishedRef{}, fmt.Errorf("%q names nothing published: write model:<name>@<version or alias>, e.g. model:blip@champion, or dataset:<name>@<version>", text)
	}
	if err := errors.Join(CheckPublished(name), CheckPublished(at)); err != nil {
		return PublishedRef{}, err
	}
	return PublishedRef{typ, name, at}, nil
}

// File returns the full name of a file of the version's folder.
func (v Version) File(file string) string {
	return path.Join(publishedFolders[v.Artifact.Type], v.Name, v.Version, file)
}

// Claim makes the folder of v the artifact's and returns its record: v itself,
// or that of the publisher that was first. ErrExists means that another
// artifact has the folder.
func Claim(ctx context.Context, s Names, v Version) (Version, error) {
	if publishedFolders[v.Artifact.Type] == "" {
		return v, fmt.Errorf("publish %s: only models and data sets can be published, not a %s", v.Name, v.Artifact.Type)
	}
	if err := errors.Join(CheckPublished(v.Name), CheckPublished(v.Version)); err != nil {
		return v, fmt.Errorf("publish: %w", err)
	}
	v.Complete = false
	data, err := EncodeJSON(v)
	if err != nil {
		return v, fmt.Errorf("encode %s: %w", v.File(versionFile), err)
	}
	if err = s.Create(ctx, v.File(versionFile), data); !errors.Is(err, ErrExists) {
		return v, err
	}
	first := Version{}
	if _, err := ReadJSON(ctx, s, v.File(versionFile), &first); err != nil {
		return v, err
	}
	if first.Artifact != v.Artifact {
		return first, fmt.Errorf("%s %w and holds %s, not %s: give another version (left out, it follows from the digest), or remove the folder if nobody needs it",
			v.File(""), ErrExists, first.Artifact.Digest.Short(), v.Artifact.Digest.Short())
	}
	return first, nil
}

// Complete says that every file of a claimed folder is there.
func Complete(ctx context.Context, s Names, v Version) error {
	for {
		now := Version{}
		state, err := ReadJSON(ctx, s, v.File(versionFile), &now)
		if err != nil || now.Complete {
			return err
		}
		now.Complete = true
		data, err := EncodeJSON(now)
		if err != nil {
			return fmt.Errorf("encode %s: %w", v.File(versionFile), err)
		}
		if err := s.Swap(ctx, v.File(versionFile), data, state.ETag); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// Versions yields the versions of a type in the order of names, and within one
// the newest first; name "" means every name. Folders that are not complete are
// among them.
func Versions(ctx context.Context, s Names, typ, name string) ([]Version, error) {
	prefix := publishedFolders[typ] + "/"
	if name != "" {
		prefix += name + "/"
	}
	var all []Version
	for n, err := range s.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		if parts := strings.Split(n.Name, "/"); len(parts) != 4 || parts[3] != versionFile {
			continue
		}
		var v Version
		if _, err := ReadJSON(ctx, s, n.Name, &v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	slices.SortStableFunc(all, func(a, b Version) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), b.Published.Compare(a.Published))
	})
	return all, nil
}

// FindVersion returns what a reference stands for. Its ErrNotFound says what
// there is instead.
func FindVersion(ctx context.Context, s Names, r PublishedRef) (Version, error) {
	aliases := map[string]Alias{}
	if r.Type == TypeModel {
		var err error
		if aliases, err = ReadAliases(ctx, s, r.Name); err != nil {
			return Version{}, err
		}
	}
	v := Version{Name: r.Name, Version: r.At, Artifact: Artifact{Type: r.Type}}
	alias, aliased := aliases[r.At]
	if aliased {
		v.Version = alias.Version
	}
	_, err := ReadJSON(ctx, s, v.File(versionFile), &v)
	switch {
	case err == nil && v.Complete:
		return v, nil
	case err == nil:
		return v, fmt.Errorf("%s: version %s is half published: %w: its publisher must finish, or publish it again", r, v.Version, ErrNotFound)
	case !errors.Is(err, ErrNotFound):
		return v, err
	case aliased:
		return v, fmt.Errorf("%s: %w: it stands for version %s, whose folder is gone: publish that again, or move the alias", r, ErrNotFound, v.Version)
	}
	there, err := r.instead(ctx, s, aliases)
	if err != nil {
		return v, err
	}
	return v, fmt.Errorf("%s: %w: %s", r, ErrNotFound, there)
}

// instead says what is published that a wrong reference may have meant.
func (r PublishedRef) instead(ctx context.Context, s Names, aliases map[string]Alias) (string, error) {
	all, err := Versions(ctx, s, r.Type, "")
	if err != nil {
		return "", err
	}
	var names, words []string
	for alias := range aliases {
		words = append(words, alias)
	}
	slices.Sort(words)
	for _, v := range all {
		if !v.Complete {
			continue
		}
		names = append(names, v.Name)
		if v.Name == r.Name {
			words = append(words, v.Version)
		}
	}
	switch names = slices.Compact(names); {
	case len(words) > 0:
		return fmt.Sprintf("%s %s has %s", r.Type, r.Name, few(words)), nil
	case len(names) > 0:
		return fmt.Sprintf("the published %ss are %s", r.Type, few(names)), nil
	}
	return fmt.Sprintf("no %s is published yet", r.Type), nil
}

// few joins the first words of a list.
func few(words []string) string {
	const shown = 10
	if len(words) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:shown], ", "), len(words)-shown)
	}
	return strings.Join(words, ", ")
}
