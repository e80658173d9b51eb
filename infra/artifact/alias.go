package artifact

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The aliases that pipelines move.
const (
	Champion  = "champion"  // what is used
	Candidate = "candidate" // what waits for its comparison
)

// Alias says which version of a model a name stands for, and why.
type Alias struct {
	Version  string   `json:"version"`
	Evidence Evidence `json:"evidence"`
}

// Evidence is why an alias points where it does.
type Evidence struct {
	Run        string    `json:"run,omitempty"`        // the run that decided
	Reason     string    `json:"reason,omitempty"`     // for people
	Evaluation *Artifact `json:"evaluation,omitempty"` // the figures
	Model      *Artifact `json:"model,omitempty"`      // what the version holds
}

// aliasFile is aliases/<model>.json.
type aliasFile struct {
	Model   string           `json:"model"`
	Aliases map[string]Alias `json:"aliases"`
}

// AliasChange asks for an alias to point at a version.
type AliasChange struct {
	Model, Alias string
	To           Alias
	// Expect is the version that the alias must stand for now; nil takes any,
	// and a pointer to "" asks that the alias does not exist yet.
	Expect *string
}

// ReadAlias returns what an alias stands for. ErrNotFound lists the aliases
// that the model has.
func ReadAlias(ctx context.Context, s Names, model, alias string) (Alias, error) {
	all, err := ReadAliases(ctx, s, model)
	if err != nil {
		return Alias{}, err
	}
	a, ok := all[alias]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(all)), ", ")
		return Alias{}, fmt.Errorf("alias %s of model %s: %w (it has: %s)", alias, model, ErrNotFound, known)
	}
	return a, nil
}

// ReadAliases returns every alias of a model; a model without any has none.
func ReadAliases(ctx context.Context, s Names, model string) (map[string]Alias, error) {
	var file aliasFile
	_, err := ReadJSON(ctx, s, AliasName(model), &file)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("aliases of model %s: %w", model, err)
	}
	return file.Aliases, nil
}

// SetAlias moves an alias by compare-and-swap. Concurrent changes of the
// model's other aliases are kept; ErrConflict means that Expect did not hold.
func SetAlias(ctx context.Context, s Names, c AliasChange) error {
	if err := errors.Join(CheckPublished(c.Model), CheckPublished(c.Alias), CheckPublished(c.To.Version)); err != nil {
		return fmt.Errorf("alias %s of model %s: %w", c.Alias, c.Model, err)
	}
	for {
		file := aliasFile{Model: c.Model}
		state, err := ReadJSON(ctx, s, AliasName(c.Model), &file)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if file.Aliases == nil {
			file.Aliases = make(map[string]Alias)
		}
		now := file.Aliases[c.Alias].Version
		if c.Expect != nil && *c.Expect != now {
			return fmt.Errorf("alias %s of model %s is %q, not %q: %w", c.Alias, c.Model, now, *c.Expect, ErrConflict)
		}
		file.Aliases[c.Alias] = c.To
		data, err := EncodeJSON(file)
		if err != nil {
			return fmt.Errorf("encode alias %s: %w", c.Alias, err)
		}
		err = s.Swap(ctx, AliasName(c.Model), data, state.ETag)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
