package device

// Paged is a backend that generation runs on: its attention reads keys and values from pages that sequences own in any order and may share.
type Paged interface {
	Backend
	PagedStore(a PagedStoreArgs)
	PagedAttention(a PagedAttentionArgs)
}

// Pages are the keys and values of one layer: Keys and Values are (pages, KVHeads, Page, D), of one type.
type Pages struct {
	Page, KVHeads, D int
	Keys, Values     *Value
}

// PagedStoreArgs writes the keys and values of Rows tokens: row r, of KV (Rows, columns) from column OffsetK and OffsetV on, KVHeads times D each, goes to
// place Slots[r], int32 (Rows), which is the page's number times Page plus the place in the page.
type PagedStoreArgs struct {
	Pages
	Rows             int
	KV               *Value
	OffsetK, OffsetV int
	Slots            *Value
}

// PagedAttentionArgs is o = softmax(Scale q kᵀ) v for Rows queries. Q is (Rows, columns) whose first H times D are the query, O is (Rows, H D); query head h uses
// key head h / (H/KVHeads); Scale 0 means 1/sqrt(D).
//
// Row r belongs to sequence Sequence[r], whose pages are row Sequence[r] of Table, int32 (sequences, pages of the longest), and sees the first Visible[r]
// of its keys; both are int32 (Rows). No row sees more than MostKeys, and each sees one at least.
type PagedAttentionArgs struct {
	Pages
	Rows, H                  int
	Q, O                     *Value
	Scale                    float32
	Table, Sequence, Visible *Value
	MostKeys                 int
}
