package flowfile_test

import "github.com/qarion/qarion/internal/value"

func engineJSON(v any) (string, error) {
	b, err := value.JSON(v)
	return string(b), err
}
