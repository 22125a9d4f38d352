-- How many images of the test are read as what they are, and as the model of scikit-learn reads them.
select count(*) as images,
  avg((reading.digit = test.digit)::int) as accuracy,
  avg((reading.digit = labels.digit)::int) as same_as_scikit_learn
from test join reading using (image) join labels using (image)
