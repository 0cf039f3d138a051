package ui

import (
	"strings"
	"testing"
)

// TestTree: a value in its order, with how a template reads every part.
func TestTree(t *testing.T) {
	root := treeOf("get-user", []byte(`{"z": {"a b": [1, {"x": "</script>"}], "9": null}, "a": 3544790567247868102}`))
	var all []string
	var walk func(b branch)
	walk = func(b branch) {
		all = append(all, b.Read+"="+b.Text)
		for _, c := range b.Children {
			walk(c)
		}
	}
	walk(*root)
	want := `xcom_get_user=;xcom_get_user.z=;xcom_get_user.z["a b"]=;xcom_get_user.z["a b"][0]=1;xcom_get_user.z["a b"][1]=;xcom_get_user.z["a b"][1].x="\u003c/script\u003e";` +
		`xcom_get_user.z["9"]=null;xcom_get_user.a=3544790567247868102`
	if got := strings.Join(all, ";"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if long := treeOf("t", []byte("["+strings.Repeat("1,", 150)+"1]")); len(long.Children) != 100 || long.More != 51 || long.N != 151 {
		t.Errorf("%d entries shown, %d more of %d", len(long.Children), long.More, long.N)
	}
	deep := treeOf("t", []byte(strings.Repeat("[", 500)+strings.Repeat("]", 500)))
	n := 0
	for b := deep; len(b.Children) > 0; b = &b.Children[0] {
		n++
	}
	if n != maxTreeDepth {
		t.Errorf("%d levels of 500 are shown", n)
	}
	for _, none := range []string{"7", `"x"`, "{", "[1", "", "{}x", "[" + strings.Repeat(`"x",`, maxTree/4) + "1]"} {
		if treeOf("t", []byte(none)) != nil {
			t.Errorf("%.20s is a tree", none)
		}
	}
}
