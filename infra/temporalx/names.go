// Package temporalx is how Tempera meets a Temporal server: the names both
// sides agree on (queues, search attributes), a Dial that fails with one clear
// line, and checks that keep a run from hanging for want of a worker or of a
// search attribute.
package temporalx

import (
	"maps"
	"slices"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
)

// The task queues. Workflows run on their own queue, so that activities that
// take every core never starve orchestration.
const (
	WorkflowQueue = "tempera"
	CPUQueue      = "tempera-cpu"
	GPUQueue      = "tempera-gpu"
)

// ActivityQueue returns the task queue of a class of worker ("cpu", "gpu").
func ActivityQueue(class string) string { return WorkflowQueue + "-" + class }

// The search attributes that runs carry. A server on which one is missing hangs
// a run without an error, so they are verified before use: see
// VerifySearchAttributes.
var (
	// PipelineAttribute is the name of the pipeline, on runs and their stages.
	PipelineAttribute = temporal.NewSearchAttributeKeyKeyword("Pipeline")
	// StageAttribute is the id of the stage, on stages.
	StageAttribute = temporal.NewSearchAttributeKeyKeyword("PipelineStage")
	// KindAttribute is the kind of the stage, on stages.
	KindAttribute = temporal.NewSearchAttributeKeyKeyword("StageKind")
	// FailedAttribute counts the stages that wait for repair, on runs.
	FailedAttribute = temporal.NewSearchAttributeKeyInt64("FailedStages")
)

// SearchAttributes returns every search attribute that runs use, with its type.
func SearchAttributes() map[string]enums.IndexedValueType {
	keys := []temporal.SearchAttributeKey{PipelineAttribute, StageAttribute, KindAttribute, FailedAttribute}
	m := make(map[string]enums.IndexedValueType, len(keys))
	for _, k := range keys {
		m[k.GetName()] = k.GetValueType()
	}
	return m
}

// searchAttributeNames returns the names in order.
func searchAttributeNames() []string { return slices.Sorted(maps.Keys(SearchAttributes())) }
