package kernel

// PagedShape is the shape of a paged cache: Pages pages of Page tokens, each with KVHeads keys and values of width D. Page is a multiple of
// PageUnit.
type PagedShape struct{ Pages, Page, KVHeads, D int }

// PageUnit is what the tokens of a page are a multiple of. Attention adds up its values in runs of PageUnit keys, so that the size of a page
// does not show in the result.
const PageUnit = 32

// Floats is the number of floats that a page takes at most, keys and values together: D is rounded up to half a panel of the widest level.
func (s PagedShape) Floats() int {
	const half = 16
	return s.Page * s.KVHeads * (s.D + (s.D+half-1)/half*half)
}

// PagedCache holds keys and values of tokens for one layer, in pages that sequences own in any order and may share. It keeps them in the layout
// of the level's tiles: attention packs nothing. It is safe for concurrent use as long as nobody writes what another reads.
//
// Keys of a page are (KVHeads, Page/nr, D, nr): panels of nr keys, transposed. Values are (KVHeads, Page/PageUnit, panels of D, PageUnit, nr).
type PagedCache struct {
	PagedShape
	level        Level
	padded       int // columns of D in panels
	keys, values []float32
}

// NewPagedCache allocates a cache for engines of this one's level. The operating system provides its memory when it is first written.
func (e *Engine) NewPagedCache(s PagedShape) *PagedCache {
	require(s.Page > 0 && s.Page%PageUnit == 0, "NewPagedCache.Page is %d, it must be a multiple of %d", s.Page, PageUnit)
	require(s.KVHeads > 0 && s.D > 0 && s.Pages >= 0, "NewPagedCache has %d pages of %d heads of %d", s.Pages, s.KVHeads, s.D)
	c := &PagedCache{PagedShape: s, level: e.level, padded: e.isa.tile.padded(s.D)}
	c.keys = make([]float32, s.Pages*s.Page*s.KVHeads*s.D)
	c.values = make([]float32, s.Pages*s.Page*s.KVHeads*c.padded)
	return c
}

// Bytes is the memory of the pages.
func (c *PagedCache) Bytes() int64 { return 4 * int64(len(c.keys)+len(c.values)) }

// Copy makes page dst what page src is.
func (c *PagedCache) Copy(dst, src int) {
	for _, m := range []struct {
		x []float32
		n int
	}{{c.keys, c.Page * c.KVHeads * c.D}, {c.values, c.Page * c.KVHeads * c.padded}} {
		copy(m.x[dst*m.n:(dst+1)*m.n], m.x[src*m.n:])
	}
}

// key is where the panel of nr keys that begins at token starts, of a head.
func (c *PagedCache) key(page int32, head, token int) int {
	return ((int(page)*c.KVHeads+head)*c.Page + token) * c.D
}

// value is where the run of PageUnit values that begins at token starts, of a head.
func (c *PagedCache) value(page int32, head, token int) int {
	return ((int(page)*c.KVHeads+head)*c.Page + token) * c.padded
}

// PagedStoreArgs writes Rows keys and values, (KVHeads, D) each with rows LDK and LDV apart, to a cache: row r to place Slots[r], which is page
// number times Page plus the place in the page.
type PagedStoreArgs struct {
	Cache    *PagedCache
	Rows     int
	K, V     []float32
	LDK, LDV int
	Slots    []int32
}

// PagedStore appends tokens to a paged cache.
func (e *Engine) PagedStore(a PagedStoreArgs) {
	c := a.Cache
	width := c.KVHeads * c.D
	a.LDK = needMatrix("PagedStore", "K", a.K, a.Rows, width, a.LDK)
	a.LDV = needMatrix("PagedStore", "V", a.V, a.Rows, width, a.LDV)
	need("PagedStore", "Slots", a.Slots, a.Rows)
	c.check("PagedStore", e.level)
	for r, s := range a.Slots[:a.Rows] {
		require(s >= 0 && int(s) < c.Pages*c.Page, "PagedStore.Slots[%d] is %d, the cache has %d", r, s, c.Pages*c.Page)
	}
	t := &e.isa.tile
	e.rows(a.Rows, 2*width, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			page, at := a.Slots[r]/int32(c.Page), int(a.Slots[r])%c.Page
			for h := range c.KVHeads {
				k := c.keys[c.key(page, h, at/t.nr*t.nr)+at%t.nr:]
				for i, x := range a.K[r*a.LDK+h*c.D:][:c.D] {
					k[i*t.nr] = x
				}
				c.storeValue(t, c.value(page, h, at/PageUnit*PageUnit), at%PageUnit, a.V[r*a.LDV+h*c.D:][:c.D])
			}
		}
	})
}

func (c *PagedCache) storeValue(t *tiler, run, at int, v []float32) {
	for j := 0; j*t.nr < c.D; j++ {
		p := t.panelAt(c.D, j)
		copy(c.values[run+p.at*PageUnit+at*p.wide:][:p.wide], v[p.at:p.at+p.width])
	}
}

func (c *PagedCache) check(name string, level Level) {
	require(c.level == level, "%s.Cache was made for level %v, the engine has %v", name, c.level, level)
}
