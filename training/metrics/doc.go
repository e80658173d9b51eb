// Package metrics writes the metrics of training steps: as lines of JSON for
// programs, as event files for TensorBoard.
//
// A step that is written again, after a resumption, replaces the earlier one:
// JSONL drops lines that are not before it when a file is continued, and
// TensorBoard does so when it reads.
package metrics
