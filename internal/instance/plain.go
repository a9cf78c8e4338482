package instance

import (
	"context"
	"errors"
	"time"

	"github.com/themouette/claude-vm/internal/state"
)

// plainTime is how long removing the instances of a measurement may take, whatever has ended it.
const plainTime = time.Minute

// Plain makes an instance of a template's image in Lima's ordinary way, boots and stops it once,
// and hands its name and a free one for copies to measure. Both are removed afterwards.
func (s *Store) Plain(ctx context.Context, r Record, measure func(original, copy string) error) (err error) {
	var names []string
	for range 2 {
		name := NewName(Building, "plain", Random())
		owner, err := s.State.Lock(ctx, name, state.Exclusive)
		if err != nil {
			return err
		}
		defer owner.Remove()
		names = append(names, name)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), plainTime)
		defer cancel()
		for _, name := range names {
			err = errors.Join(err, s.Lima.Delete(ctx, name))
		}
	}()
	machine := r.Machine()
	machine.DirectBoot = r.Images[0].Kernel != nil
	if err := s.Lima.Create(ctx, names[0], machine); err != nil {
		return err
	}
	if err := s.Lima.StartPlain(ctx, names[0]); err != nil {
		return err
	}
	if err := s.Lima.StopPlain(ctx, names[0]); err != nil {
		return err
	}
	return measure(names[0], names[1])
}
