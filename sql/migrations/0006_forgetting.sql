create index attempts_of_a_person on attempts (organisation, person_key);
