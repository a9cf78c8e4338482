package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// The spinner moves with every tick as long as a step is young. Each move wakes the host, and after some seconds nobody looks so closely.
	tick     = 100 * time.Millisecond
	slowTick = 5 * tick
	young    = time.Second

	frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
	// Without a terminal a step is named early only if it keeps one waiting, and then shows now and then that it lives.
	plainTick  = 2 * time.Second
	plainFirst = 10 * time.Second
	plainAgain = 30 * time.Second
)

// Step is something that takes time. It ends once, with Done or Fail; what is called afterwards does nothing, so that
// `defer step.Fail()` covers every early return.
type Step struct {
	u     *UI
	name  string
	begin time.Time

	// guarded by u.mu
	detail      string
	done, total int64
	due         time.Duration // when, after begin, the next plain line is
}

// Step begins a step named by what is being done ("booting the VM"). Of several steps at once the latest has the spinner.
func (u *UI) Step(name string) *Step {
	s := &Step{u: u, name: Sanitize(name), begin: u.o.Now(), due: plainFirst}
	if u.o.Quiet {
		return s
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.active = append(u.active, s)
	if len(u.active) == 1 {
		u.stop = make(chan struct{})
		go u.animate(u.stop)
	}
	u.print("")
	return s
}

// Detail says what is being waited for now ("waiting for ssh").
func (s *Step) Detail(text string) {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.say(text)
}

func (s *Step) say(text string) { s.detail = strings.TrimRight("  "+Sanitize(text), " ") }

// Detail is the detail of the step that has the spinner, for those who do not know which that is.
func (u *UI) Detail(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(u.active); n > 0 {
		u.active[n-1].say(text)
	}
}

// Progress says how many bytes are done, of how many; a total of zero or less is an unknown one.
func (s *Step) Progress(done, total int64) {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.done, s.total = done, total
}

// Done ends the step well.
func (s *Step) Done() { s.end(s.u.paint(green, "✓")) }

// Fail ends the step badly; the reason is for [UI.Error] to say.
func (s *Step) Fail() { s.end(s.u.paint(red, "✗")) }

func (s *Step) end(mark string) {
	u := s.u
	u.mu.Lock()
	defer u.mu.Unlock()
	i := slices.Index(u.active, s)
	if i < 0 {
		return
	}
	u.active = slices.Delete(u.active, i, i+1)
	if len(u.active) == 0 {
		close(u.stop)
	}
	took := u.o.Now().Sub(s.begin).Round(100 * time.Millisecond)
	text := fmt.Sprintf("%.1fs", took.Seconds())
	if took >= time.Minute {
		text = took.Round(time.Second).String()
	}
	u.print(mark + " " + s.name + s.amount() + "  " + text + "\n")
}

// animate may come one tick late to its own end; it then finds no step to show.
func (u *UI) animate(stop <-chan struct{}) {
	for next := tick; ; next = u.refresh() {
		select {
		case <-stop:
			return
		case <-time.After(next):
		}
	}
}

// refresh shows that time goes on, and returns when to do so again.
func (u *UI) refresh() (next time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.held > 0 {
		return slowTick
	}
	if u.o.Terminal {
		u.print("")
		return u.pace()
	}
	for _, s := range u.active {
		switch waited := u.o.Now().Sub(s.begin); {
		case waited < s.due:
		case s.due == plainFirst:
			s.due = plainAgain
			u.print(s.name + " …\n")
		default:
			s.due = waited.Truncate(plainAgain) + plainAgain
			u.print("still " + s.name + s.clock(waited) + s.detail + "\n")
		}
	}
	return plainTick
}

// pace is how often the spinner moves now.
func (u *UI) pace() time.Duration {
	if n := len(u.active); n > 0 && u.o.Now().Sub(u.active[n-1].begin) < young {
		return tick
	}
	return slowTick
}

// spinner keeps off the last column, and should it still be too wide (tiny terminals, wide characters) the terminal
// cuts it off: a line that wraps cannot be erased.
func (u *UI) spinner() string {
	s := u.active[len(u.active)-1]
	waited := u.o.Now().Sub(s.begin)
	frame := []rune(frames)[int(waited/u.pace())%utf8.RuneCountInString(frames)]

	// The clock is worth more than the name, and the name more than the detail.
	clock := s.clock(waited)
	room := cmp.Or(u.o.Width(), 80) - 3 - utf8.RuneCountInString(clock)
	name := fit(s.name, room)
	detail := fit(s.detail, room-utf8.RuneCountInString(name))
	return wrapOff + u.paint(cyan, string(frame)) + " " + name + clock + detail + wrapOn
}

// clock is what shows that the step is getting somewhere.
func (s *Step) clock(waited time.Duration) string {
	return s.amount() + "  " + waited.Truncate(time.Second).String()
}

func (s *Step) amount() string {
	switch {
	case s.done <= 0 && s.total <= 0:
		return ""
	case s.done >= s.total:
		return " (" + Size(s.done) + ")"
	}
	return fmt.Sprintf(" (%d%% of %s)", 100*s.done/s.total, Size(s.total))
}
