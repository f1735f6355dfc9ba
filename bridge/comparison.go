package bridge

import "time"

// Comparison is the outcome for all tables. The JSON names are a contract.
type Comparison struct {
	Org    string            `json:"org"`
	Stream string            `json:"stream"`
	Began  time.Time         `json:"began"`
	Tables []TableComparison `json:"tables"`
	// Repaired compares the tables that differed again, after a repair.
	Repaired *Comparison `json:"repaired,omitempty"`
}

// Same tells whether nothing differs anywhere, after the repair where there was one.
func (c *Comparison) Same() bool {
	if c.Repaired != nil {
		return c.Repaired.Same()
	}
	for i := range c.Tables {
		if t := &c.Tables[i]; t.Missing+t.Extra+t.Different > 0 {
			return false
		}
	}
	return true
}

// TableComparison is the outcome for one table.
type TableComparison struct {
	Table string `json:"table"`
	// Phase is that of the checkpoint, none without one. While a table loads, what
	// is not read yet counts as missing.
	Phase string `json:"phase"`
	// Records are those that Customer Engagement showed, Published those that the
	// stream shows as live.
	Records   int64 `json:"records"`
	Published int64 `json:"published"`
	// Unpublished are records from before the start of a table that starts now.
	Unpublished int64 `json:"unpublished,omitempty"`
	// Dropped are records whose last change is not on the stream because own writes
	// made it (echo: drop): a mark stands for it.
	Dropped int64 `json:"dropped,omitempty"`
	// Filtered are records that the table's filter keeps from being published.
	Filtered int64 `json:"filtered,omitempty"`
	// Rechecked is how many differences of the first look were looked at again.
	Rechecked int64 `json:"rechecked"`
	// Missing records live in Customer Engagement, and the stream shows none or a
	// delete. Extra ones live on the stream alone, or do not pass the table's filter.
	// Different ones live on both, with another version or content; with only_changes,
	// with another content but for what it ignores.
	Missing   int64 `json:"missing"`
	Extra     int64 `json:"extra"`
	Different int64 `json:"different"`
	// Unconfirmed is how many of these were too many to look at again.
	Unconfirmed int64 `json:"unconfirmed,omitempty"`
	// Differences lists at most 10,000 of them.
	Differences []RecordDifference `json:"differences"`
	Seconds     float64            `json:"seconds"`
}

// RecordDifference is one record. It holds no content.
type RecordDifference struct {
	// Kind is missing, extra or different.
	Kind string `json:"kind"`
	ID   string `json:"id"`
	// Version is that in Customer Engagement, PublishedVersion that of the last
	// event, its delete included; 0 for none.
	Version          int64 `json:"version,omitempty"`
	PublishedVersion int64 `json:"published_version,omitempty"`
	// Columns are those that differ although the versions are the same.
	Columns []string `json:"columns,omitempty"`
	Reason  string   `json:"reason"`
}
