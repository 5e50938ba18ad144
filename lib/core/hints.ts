// What to do next where something is damaged: the same words wherever it shows.

/** What is at fault here is right there. */
export const COPY_AGAIN = 'copy it again from where it was made'

/** An image that the engine, or a tar, has. */
export const SAVE_AGAIN = 'the image is damaged: pull and save it again'

/** An image that engines may read in different ways. */
export const ENGINES_DIFFER = 'engines may see another image than was verified: have it saved again'

/** A tar. */
export const MAKE_TAR_AGAIN = 'the tar is damaged or was cut off: make it again'

/** The compressed bytes of an archive. */
export const COPY_ARCHIVE = `it is damaged or was cut off: ${COPY_AGAIN}`

/** An archive that is not what its metadata says. */
export const COPY_CHANGED_ARCHIVE =
  'it was changed or damaged: copy the archive again from where it was made'

/** The same, where the metadata may be at fault as well. */
export const COPY_BOTH =
  'it was changed or damaged: copy the archive and its metadata again from where they were made'

/** A file of the delivery that has another form. */
export const COPY_FOREIGN = `it is not what these tools write: ${COPY_AGAIN}`

/** Metadata that cannot be those of the archive. */
export const COPY_WRONG_METADATA =
  'its metadata is wrong: copy archive and metadata again from where they were made'

/** Metadata of another archive. */
export const COPY_UNRELATED =
  'archive and metadata do not belong together: copy both again from where they were made'

/** Metadata of another image. */
export const COPY_OTHER_METADATA =
  'its metadata is of another image: copy both again from where they were made'

/** What changed between two reads of it. */
export const CHANGED_WHILE_SAVED = 'it was changed while it was being saved: run it again'
