package network

import (
	"fmt"

	"tempera/serving/page"
	"tempera/training/kernel"
)

// Cache holds the keys and values of sequences, and of the images that they see, in pages of all layers, and the scratch of a forward pass. Its
// methods run one at a time.
type Cache struct {
	Pool   *page.Pool
	net    *Network
	layers []*kernel.PagedCache

	positions, slots        []int32
	runs                    []kernel.PagedRun
	x, h, qkv, hidden       []float32
	mean, rstd              []float32
	states, logits          []float32
	scores, picked, answers []float32 // of experts
}

// CacheOptions size a cache.
type CacheOptions struct {
	Bytes int64 // of pages, at most
	Page  int   // tokens of a page, a multiple of kernel.PageUnit
}

// NewCache allocates the pages that Bytes hold.
func (n *Network) NewCache(o CacheOptions) (*Cache, error) {
	if o.Page < 1 || o.Page%kernel.PageUnit != 0 {
		return nil, fmt.Errorf("new cache: a page has %d tokens: give a multiple of %d", o.Page, kernel.PageUnit)
	}
	t := n.Config.Text
	s := kernel.PagedShape{Page: o.Page, KVHeads: t.KVHeads, D: t.HeadWidth}
	each := int64(t.Layers) * int64(s.Floats()) * 4
	s.Pages = int(o.Bytes / each)
	if s.Pages < 1 {
		return nil, fmt.Errorf("new cache: %d bytes hold no page of %d tokens, which takes %d: raise the memory", o.Bytes, o.Page, each)
	}
	c := &Cache{Pool: page.NewPool(s.Pages, o.Page), net: n}
	for range t.Layers {
		c.layers = append(c.layers, n.engine.NewPagedCache(s))
	}
	return c, nil
}

// Bytes is the memory of the pages.
func (c *Cache) Bytes() int64 {
	var sum int64
	for _, l := range c.layers {
		sum += l.Bytes()
	}
	return sum
}

// Use makes the cache work with another network of the same configuration, such as the same one after a training step. What the pages hold is
// of the old one: no table may have tokens.
func (c *Cache) Use(n *Network) { c.net = n }

// Reserve makes room for n more tokens of a table, copying its last page where others share it. It reports false, and changes nothing, if too
// few pages are free.
func (c *Cache) Reserve(t *page.Table, n int) bool {
	copies, copied, ok := c.Pool.Reserve(t, n)
	if copied {
		for _, l := range c.layers {
			l.Copy(int(copies.To), int(copies.From))
		}
	}
	return ok
}

// buf makes a scratch slice n long; it keeps no contents.
func (c *Cache) buf(s *[]float32, n int) []float32 {
	if cap(*s) < n {
		*s = make([]float32, n)
	}
	*s = (*s)[:n]
	return *s
}
