/* The model's file as it is, aligned as its tensors are. */
    .section .rodata.model, "a"
    .balign 32
    .global model_file
model_file:
    .incbin MODEL_FILE
    .global model_file_end
model_file_end:
    .balign 4
    .section .note.GNU-stack, "", %progbits
