package activities

import (
	"encoding/json"
	"fmt"

	"tempera/workflows/stage"
)

// Catalog knows kinds by name. It is what the checks of a spec ask.
type Catalog struct {
	names []string
	kinds map[string]Kind
}

// NewCatalog indexes kinds, in the order given. Two of one name are a mistake in
// the program.
func NewCatalog(kinds ...Kind) *Catalog {
	c := &Catalog{kinds: make(map[string]Kind, len(kinds))}
	for _, k := range kinds {
		name := k.Describe().Name
		if c.kinds[name] != nil {
			panic(fmt.Sprintf("kind %s is listed twice", name))
		}
		c.names, c.kinds[name] = append(c.names, name), k
	}
	return c
}

// Names lists the kinds.
func (c *Catalog) Names() []string { return c.names }

// Kind returns the descriptor of a kind.
func (c *Catalog) Kind(name string) (stage.Descriptor, bool) {
	k := c.kinds[name]
	if k == nil {
		return stage.Descriptor{}, false
	}
	return k.Describe(), true
}

// Resolve fills the defaults of a kind into params.
func (c *Catalog) Resolve(kind string, params json.RawMessage) (json.RawMessage, error) {
	k := c.kinds[kind]
	if k == nil {
		return nil, fmt.Errorf("there is no kind %q", kind)
	}
	return k.Check(params)
}
