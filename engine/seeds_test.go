package engine

import (
	"bytes"
	"reflect"
	"testing"
)

func sampleSeeds() *Seeds {
	return &Seeds{
		Begun: 7, Defined: Pos{3, 0}, VariablesAt: Pos{9, 2}, Runs: []RunID{"01M84BFBV1N8Q6D2T4XW9B7C5E", "01M84BFBV1N8Q6D2T4XW9B7C5D"},
		Jars: map[string][]Pos{"shop": {{12, 1}, {20, 0}}, "a": {{8, 0}}},
		Tasks: []Seed{
			{Kind: SeedSuccess, Value: true, At: Pos{10, 4}, Attempts: 1, Code: 200}, {Kind: SeedSkipped}, {}, {Kind: SeedNotChosen, Run: 1},
			{KeyRun: 2, Attempts: 3, Code: 503, Turn: 438, CarryAt: Pos{400, 1}, Prev: Pos{399, 30}},
		},
	}
}

func TestSeeds_ReadAsTheyWereWritten(t *testing.T) {
	want := sampleSeeds()
	got, err := DecodeSeeds(want.Encode())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if floor := want.Floor(); floor != 7 { // the parts of the turns lead back
		t.Errorf("floor %d, want 7", floor)
	}
	want.Tasks[4] = Seed{}
	if floor := want.Floor(); floor != 8 {
		t.Errorf("floor %d, want 8", floor)
	}
}

func TestSeeds_AreSmall(t *testing.T) {
	s := &Seeds{Runs: []RunID{"01M84BFBV1N8Q6D2T4XW9B7C5E"}, Tasks: make([]Seed, MaxTasks)}
	for i := range s.Tasks {
		s.Tasks[i] = Seed{Kind: SeedSuccess, Value: true, At: Pos{uint64(1_000_000 + 3*i), i % 64}, Attempts: 1, Code: 200}
	}
	if n := len(s.Encode()); n > 80_000 {
		t.Errorf("%d tasks take %d bytes", MaxTasks, n)
	}
}

func FuzzSeeds(f *testing.F) {
	f.Add(sampleSeeds().Encode())
	f.Add([]byte{1, 0, 0, 0, 0, 0, 1, 1, 'x', 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeSeeds(data)
		if err != nil {
			return
		}
		if again, err := DecodeSeeds(s.Encode()); err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
			t.Errorf("%+v was read as %+v, %v", s, again, err)
		}
	})
}
