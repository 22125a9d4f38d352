-- The images of the test that are read as other digits.
select image, test.digit, reading.digit as read_as
from test join reading using (image)
where reading.digit <> test.digit
order by image
