// Package gitindex reads the index of a git repository, the list of the files that git knows of,
// and writes it without what keeps git from looking at a file. It reads an index as git does or not
// at all, and believes nothing that stands there: a guest may have written it. It must not know
// where an index lies, nor which entries are to be believed.
package gitindex

import (
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // git's checksum
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// The layout of an entry: stat data, the name of the object, flags. The stat data says how the file
// was when git read it last. A file that is still so git does not read again.
const (
	statSize  = 40
	modeAt    = 24 // in the stat data, and the one part of it that is no note about the file
	modeSize  = 4
	folder    = 0o040000 // the mode of an entry that stands for all files of a folder
	valid     = 0x8000   // of the flags: assume-unchanged
	extended  = 0x4000   // of the flags: more flags follow
	stage     = 0x3000   // of the flags: which side of a conflict
	nameMask  = 0x0fff   // of the flags: the length of the name
	skip      = 0x4000   // of the further flags: skip-worktree
	intent    = 0x2000   // of the further flags: intent-to-add
	header    = 12
	extHeader = 8
)

// Bits have git not look at a file.
type Bits uint8

// The bits, as git update-index calls them.
const (
	AssumeUnchanged Bits = 1 << iota
	SkipWorktree
)

// Index is a list of all files, whether it lies in one file or, as a split index, in two.
type Index struct {
	Entries []Entry // sorted by name
	version uint32
	hash    int // the size of the name of an object
	trees   []byte
	kept    []extension
}

// Entry is a file in the index. It is a window on the text that was read: what is changed in it is
// changed there.
type Entry struct {
	Name []byte
	head []byte // what stands in front of the name
	hash int
}

type extension struct {
	name string
	data []byte
}

// The extensions that belong to the content of an index. All others git makes anew. They save it a
// look at files, at folders or at what is staged, and it believes them.
const (
	link   = "link" // the rest of the entries is in another file
	sparse = "sdir" // entries can stand for folders
	undo   = "REUC" // how to undo the end of a conflict
	trees  = "TREE" // which trees have what is staged: see KeepTrees
)

var errEnds = errors.New("it ends too early")

// Parse reads an index. The names of objects are hash bytes long. If the index is split, base
// returns the file that has this checksum in its name.
func Parse(text []byte, hash int, base func(sum string) ([]byte, error)) (*Index, error) {
	x, split, err := parse(text, hash)
	if err != nil {
		return nil, err
	}
	if len(split) > 0 && slices.ContainsFunc(split[:hash], func(c byte) bool { return c != 0 }) {
		if err := x.join(split, base); err != nil {
			return nil, fmt.Errorf("it is split: %w", err)
		}
	}
	for i, e := range x.Entries {
		if len(e.Name) == 0 || i > 0 && x.Entries[i-1].Compare(e) >= 0 {
			return nil, fmt.Errorf("the entry %q is not in its place", e.Name)
		}
	}
	return x, nil
}

// parse reads one file. It returns what that says of the other one too.
func parse(text []byte, hash int) (x *Index, split []byte, err error) {
	if len(text) < header+hash {
		return nil, nil, errEnds
	}
	x = &Index{version: binary.BigEndian.Uint32(text[4:]), hash: hash}
	if string(text[:4]) != "DIRC" || x.version < 2 || x.version > 4 {
		return nil, nil, errors.New("it is no index of version 2, 3 or 4")
	}
	count, rest := int(binary.BigEndian.Uint32(text[8:])), text[header:len(text)-hash]
	x.Entries = make([]Entry, 0, min(count, len(rest)/(statSize+hash)))
	var name []byte
	for range count {
		e := Entry{hash: hash}
		size, err := e.parse(rest, x.version, name)
		if err != nil {
			return nil, nil, fmt.Errorf("after %q: %w", name, err)
		}
		x.Entries, name, rest = append(x.Entries, e), e.Name, rest[size:]
	}
	split, err = x.extensions(rest)
	return x, split, err
}

// parse reads one entry, given the name of the one before it, and returns its size.
func (e *Entry) parse(text []byte, version uint32, before []byte) (int, error) {
	size := statSize + e.hash + 2
	if len(text) < size+2 {
		return 0, errEnds
	}
	flags := binary.BigEndian.Uint16(text[size-2:])
	if flags&extended != 0 {
		size += 2
		if further := binary.BigEndian.Uint16(text[size-2:]); version < 3 || further&^(skip|intent) != 0 {
			return 0, errors.New("it has flags that git does not know")
		}
	}
	e.head = text[:size:size]
	var start []byte
	if version == 4 {
		cut, n := varint(text[size:])
		if n == 0 || cut > uint64(len(before)) {
			return 0, errors.New("a name is cut off wrongly")
		}
		start, size = before[:len(before)-int(cut)], size+n
	}
	end := bytes.IndexByte(text[size:], 0)
	if end < 0 {
		return 0, errEnds
	}
	e.Name = text[size : size+end : size+end]
	if len(start) > 0 {
		e.Name = slices.Concat(start, e.Name)
	}
	if length := int(flags & nameMask); length != min(len(e.Name), nameMask) {
		return 0, fmt.Errorf("the length of the name %q is wrong", e.Name)
	}
	if size += end + 1; version < 4 {
		size = padded(size)
	}
	if size > len(text) {
		return 0, errEnds
	}
	return size, nil
}

// padded is the size of an entry with as many NUL as make it a multiple of eight.
func padded(size int) int { return (size + 7) &^ 7 }

// varint reads a number as git writes it, and returns how many bytes it has, or none if it is none.
func varint(text []byte) (value uint64, size int) {
	for i, c := range text[:min(len(text), 5)] {
		if i > 0 {
			value++
		}
		if value = value<<7 | uint64(c&0x7f); c&0x80 == 0 {
			return value, i + 1
		}
	}
	return 0, 0
}

// appendVarint writes one.
func appendVarint(text []byte, value uint64) []byte {
	digits := []byte{byte(value & 0x7f)}
	for value >>= 7; value > 0; value >>= 7 {
		value--
		digits = append(digits, 0x80|byte(value&0x7f))
	}
	slices.Reverse(digits)
	return append(text, digits...)
}

// extensions reads what stands behind the entries. It returns what is said of another file.
func (x *Index) extensions(rest []byte) (split []byte, err error) {
	for len(rest) > 0 {
		if len(rest) < extHeader {
			return nil, errEnds
		}
		e := extension{name: string(rest[:4])}
		size := binary.BigEndian.Uint32(rest[4:])
		if rest = rest[extHeader:]; uint64(size) > uint64(len(rest)) {
			return nil, errEnds
		}
		e.data, rest = rest[:size], rest[size:]
		switch c := e.name[0]; {
		case e.name == link && len(e.data) < x.hash:
			return nil, errEnds
		case e.name == link:
			split = e.data
		case e.name == trees:
			x.trees = e.data
		case e.name == sparse, e.name == undo:
			x.kept = append(x.kept, e)
		case c < 'A' || c > 'Z': // nobody may ignore it
			return nil, fmt.Errorf("it has the extension %q", e.name)
		}
	}
	return split, nil
}

// join adds the entries of the file that a split index names, but for those that it drops. Those
// that it replaces have their name there, and all others are added.
func (x *Index) join(split []byte, base func(string) ([]byte, error)) error {
	text, err := base(hex.EncodeToString(split[:x.hash]))
	if err != nil {
		return err
	}
	whole, further, err := parse(text, x.hash)
	if err != nil || further != nil {
		return cmp.Or(err, errors.New("the file that it names is split too"))
	}
	entries := whole.Entries
	var drop, replace []int
	if bitmaps := split[x.hash:]; len(bitmaps) > 0 {
		if drop, bitmaps, err = bitmap(bitmaps, len(entries)); err == nil {
			replace, _, err = bitmap(bitmaps, len(entries))
		}
	}
	if err != nil || len(replace) > len(x.Entries) {
		return cmp.Or(err, errEnds)
	}
	for i, at := range replace {
		e := x.Entries[i]
		if len(e.Name) > 0 {
			return fmt.Errorf("the name %q stands twice", e.Name)
		}
		e.rename(entries[at].Name)
		entries[at] = e
	}
	for _, at := range drop {
		entries[at].head = nil
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.head == nil })
	added := x.Entries[len(replace):]
	whole.Entries = append(added[:len(added):len(added)], entries...)
	slices.SortStableFunc(whole.Entries, Entry.Compare)
	x.Entries = slices.CompactFunc(whole.Entries, func(a, b Entry) bool { return a.Compare(b) == 0 })
	return nil
}

// bitmap reads which of some entries are meant, and returns what stands behind it. It is a list of
// words: one that says how many words follow that are all zeros or all ones, and how many that are
// not, then these.
func bitmap(text []byte, limit int) (set []int, rest []byte, err error) {
	const counts, word = 8, 8
	if len(text) < counts {
		return nil, nil, errEnds
	}
	size := uint64(binary.BigEndian.Uint32(text[4:]))
	if text = text[counts:]; uint64(len(text)) < size*word+4 {
		return nil, nil, errEnds
	}
	words, rest := text[:size*word], text[size*word+4:]
	at := uint64(0)
	next := func() uint64 {
		w := binary.BigEndian.Uint64(words)
		words = words[word:]
		return w
	}
	for len(words) > 0 {
		marker := next()
		run, literal := marker>>1&0xffff_ffff*64, marker>>33
		if marker&1 != 0 {
			for ; run > 0 && at <= uint64(limit); run-- {
				set = append(set, int(at))
				at++
			}
		}
		for at += run; literal > 0 && len(words) > 0; literal-- {
			for w, i := next(), at; w != 0 && i <= uint64(limit); w, i = w>>1, i+1 {
				if w&1 != 0 {
					set = append(set, int(i))
				}
			}
			at += 64
		}
	}
	if len(set) > 0 && set[len(set)-1] >= limit {
		return nil, nil, errors.New("it speaks of an entry that is not there")
	}
	return set, rest, nil
}

// KeepTrees keeps what git has noted of the trees that belong to what is staged, if the same was
// staged before and it noted the same. Otherwise nobody knows whether that is true.
func (x *Index) KeepTrees(before *Index) {
	same := slices.EqualFunc(x.Entries, before.Entries, Entry.stagesSame)
	if same && len(x.trees) > 0 && bytes.Equal(x.trees, before.trees) {
		x.kept = append([]extension{{trees, x.trees}}, x.kept...)
	}
}

// Text returns the index as one file.
func (x *Index) Text() []byte {
	version, size := x.version, header+x.hash
	for _, e := range x.Entries {
		if size += padded(len(e.head) + len(e.Name) + 1); version < 3 && len(e.further()) > 0 {
			version = 3
		}
	}
	for _, e := range x.kept {
		size += extHeader + len(e.data)
	}
	text := append(make([]byte, 0, size), "DIRC"...)
	text = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(text, version), uint32(len(x.Entries)))
	var name []byte
	for _, e := range x.Entries {
		text, name = e.write(text, version, name), e.Name
	}
	for _, e := range x.kept {
		text = append(binary.BigEndian.AppendUint32(append(text, e.name...), uint32(len(e.data))), e.data...)
	}
	if x.hash == sha256.Size {
		sum := sha256.Sum256(text)
		return append(text, sum[:]...)
	}
	sum := sha1.Sum(text) //nolint:gosec // git's checksum
	return append(text, sum[:]...)
}

func (e Entry) write(text []byte, version uint32, before []byte) []byte {
	begin := len(text)
	text = append(text, e.head...)
	if version < 4 {
		text = append(text, e.Name...)
		return append(text, make([]byte, begin+padded(len(text)-begin+1)-len(text))...)
	}
	same := 0
	for same < min(len(before), len(e.Name)) && before[same] == e.Name[same] {
		same++
	}
	text = append(appendVarint(text, uint64(len(before)-same)), e.Name[same:]...)
	return append(text, 0)
}

// Compare says which of two entries comes first.
func (e Entry) Compare(f Entry) int {
	if order := bytes.Compare(e.Name, f.Name); order != 0 {
		return order
	}
	return cmp.Compare(e.flags()&stage, f.flags()&stage)
}

// Same says whether an entry says the same of a file as another one.
func (e Entry) Same(f Entry) bool { return bytes.Equal(e.head, f.head) && bytes.Equal(e.Name, f.Name) }

// stagesSame says whether the same content is staged, whatever is known of the file.
func (e Entry) stagesSame(f Entry) bool {
	object := func(e Entry) []byte { return e.head[statSize : statSize+e.hash] }
	isIntent := func(e Entry) bool {
		more := e.further()
		return len(more) > 0 && binary.BigEndian.Uint16(more)&intent != 0
	}
	return e.Compare(f) == 0 && e.mode() == f.mode() && bytes.Equal(object(e), object(f)) && isIntent(e) == isIntent(f)
}

func (e Entry) mode() uint32 { return binary.BigEndian.Uint32(e.head[modeAt:]) }

// Folder says whether the entry stands for all files of a folder that is not in the working tree.
func (e Entry) Folder() bool { return e.mode() == folder }

// Youngest returns when the file was changed last, or the inode that it lies in, in seconds.
func (e Entry) Youngest() int64 {
	return int64(max(binary.BigEndian.Uint32(e.head), binary.BigEndian.Uint32(e.head[8:])))
}

// Look has git compare the file with the object, however the file is.
func (e Entry) Look() {
	clear(e.head[:modeAt])
	clear(e.head[modeAt+modeSize : statSize])
}

// Bits returns those that are set.
func (e Entry) Bits() (b Bits) {
	if e.flags()&valid != 0 {
		b |= AssumeUnchanged
	}
	if more := e.further(); len(more) > 0 && binary.BigEndian.Uint16(more)&skip != 0 {
		b |= SkipWorktree
	}
	return b
}

// Clear takes bits away.
func (e Entry) Clear(b Bits) {
	if b&AssumeUnchanged != 0 {
		e.setFlags(e.flags() &^ valid)
	}
	if more := e.further(); len(more) > 0 && b&SkipWorktree != 0 {
		binary.BigEndian.PutUint16(more, binary.BigEndian.Uint16(more)&^skip)
	}
}

func (e *Entry) rename(name []byte) {
	e.Name = name
	e.setFlags(e.flags()&^nameMask | uint16(min(len(name), nameMask)))
}

func (e Entry) flags() uint16 { return binary.BigEndian.Uint16(e.head[statSize+e.hash:]) }

func (e Entry) setFlags(flags uint16) { binary.BigEndian.PutUint16(e.head[statSize+e.hash:], flags) }

// further returns the place of the further flags, if there are any.
func (e Entry) further() []byte { return e.head[statSize+e.hash+2:] }
