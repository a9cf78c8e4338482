package host

import "testing"

func TestReadMemory(t *testing.T) {
	t.Parallel()
	m, err := ReadMemory()
	if err != nil || m.Available <= 0 || m.Total < m.Available || m.Total < 1<<28 {
		t.Errorf("%+v, %v", m, err)
	}
}
