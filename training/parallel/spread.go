package parallel

import (
	"errors"
	"io"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
)

// Parts is the number of micro-batches of a step: as many as are asked for, or a few more, so that devices share them evenly.
func Parts(accumulate, devices int) int {
	n := max(1, devices)
	return (max(1, accumulate) + n - 1) / n * n
}

// Closer is an objective whose graphs can be planned and freed.
type Closer interface {
	training.Objective
	training.Sized
	io.Closer
}

// Spread builds an objective on a model and, on each other device of the group, on a copy of it. root is that of the model itself, which evaluation may use; all is what is
// trained. Without a group (nil) the two are the same.
func Spread[O Replica](group device.Group, m *model.Model, build func(m *model.Model) (O, error)) (root O, all Closer, err error) {
	root, err = build(m)
	if err != nil || group == nil {
		return root, root, err
	}
	replicas := []Replica{root}
	defer func() {
		for _, r := range replicas {
			if err != nil {
				err = errors.Join(err, r.Close())
			}
		}
	}()
	for _, b := range group.Backends()[1:] {
		other, err := m.On(b)
		if err != nil {
			return root, nil, err
		}
		r, err := build(other)
		if err != nil {
			return root, nil, err
		}
		replicas = append(replicas, r)
	}
	all, err = New(group, replicas...)
	return root, all, err
}
